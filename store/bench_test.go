package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/merlinmq/merlin/protocol/message"
)

func benchStore(b *testing.B, mode FlushDiskType) *Store {
	s, err := Open(Options{StorePathRootDir: b.TempDir(), FlushDiskType: mode, MaxHashSlotNum: 100_000, MaxIndexNum: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func benchPuts(n int) []*Put {
	props := message.AppendProperty(nil, "UNIQ_KEY", "7F000001000018B4AAC2000000000001")
	props = message.AppendProperty(props, "TAGS", "TagA")
	props = message.AppendProperty(props, "CLUSTER", "DefaultCluster")
	ps := make([]*Put, n)
	for i := range ps {
		m := msg("BenchTopic", int32(i%8), string(make([]byte, 1024)))
		m.Properties = props
		ps[i] = &Put{Msg: m}
	}
	return ps
}

func BenchmarkPutBatch(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchStore(b, AsyncFlush)
			ps := benchPuts(n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				s.PutBatch(ps)
			}
			b.StopTimer()
			if ps[0].Result.Status != PutOK {
				b.Fatal(ps[0].Result.Err)
			}
		})
	}
}

// BenchmarkPutBatchSync has many callers with one Put each in flight.
func BenchmarkPutBatchSync(b *testing.B) {
	s := benchStore(b, SyncFlush)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ps := benchPuts(1)
		done := make(chan struct{}, 1)
		ps[0].Done = func(*Put) { done <- struct{}{} }
		for pb.Next() {
			s.PutBatch(ps)
			<-done
		}
	})
}

// BenchmarkDispatch is append and dispatch together.
func BenchmarkDispatch(b *testing.B) {
	s := benchStore(b, AsyncFlush)
	ps := benchPuts(32)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 32 {
		s.PutBatch(ps)
		for s.DispatchBehind() > 8<<20 {
			time.Sleep(10 * time.Microsecond)
		}
	}
	for s.DispatchBehind() > 0 {
		time.Sleep(10 * time.Microsecond)
	}
}

// BenchmarkGet reads 32 messages of one of 8 interleaved queues: the newest ones
// from memory, old ones with pread.
func BenchmarkGet(b *testing.B) {
	s := benchStore(b, AsyncFlush)
	ps := benchPuts(256)
	for range 400 {
		s.PutBatch(ps)
	}
	for s.DispatchBehind() > 0 {
		time.Sleep(time.Millisecond)
	}
	top := s.MaxOffset("BenchTopic", 0)
	for name, from := range map[string]int64{"tail": top - 32, "file": 0} {
		b.Run(name, func(b *testing.B) {
			var r GetResult
			q := GetRequest{Topic: "BenchTopic", MaxMsgs: 32}
			var out []byte
			b.ReportAllocs()
			for i := range b.N {
				q.Offset = from
				if from == 0 {
					q.Offset = int64(i) * 32 % (top / 2)
				}
				s.Get(&q, &r)
				if r.Count != 32 {
					b.Fatal(r.Status, r.Count)
				}
				out = out[:0]
				for _, rec := range r.Records {
					if len(rec) <= 4096 { // as the output of a connection does
						out = append(out, rec...)
					}
				}
				r.Release()
			}
		})
	}
}
