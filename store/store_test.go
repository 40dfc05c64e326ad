package store

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testHost = netip.MustParseAddrPort("127.0.0.1:10911")

// small are options with files so small that tests meet their ends.
func small(fs vfs.FS) Options {
	return Options{
		FS: fs, StorePathRootDir: "/store", FileSizeCommitLog: 16 << 10, FileSizeConsumeQueue: 20 * 32,
		MaxHashSlotNum: 64, MaxIndexNum: 200, TailBytes: 1, DeleteWhen: "none",
		PhysicalMemory: 8 << 30,
	}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func msg(topic string, queue int32, body string, props ...string) message.Message {
	var p []byte
	for i := 0; i+1 < len(props); i += 2 {
		p = message.AppendProperty(p, props[i], props[i+1])
	}
	return message.Message{Topic: topic, QueueID: queue, Body: []byte(body), Properties: p,
		BornTimestamp: 1000, BornHost: testHost, StoreHost: testHost}
}

func put(t testing.TB, s *Store, m message.Message) PutResult {
	t.Helper()
	r := s.Put(&Put{Msg: m})
	require.Equal(t, PutOK, r.Status, "%v", r.Err)
	return r
}

// settled waits until everything is dispatched.
func settled(t tester, s *Store) {
	t.Helper()
	require.Eventually(t, func() bool { return s.DispatchBehind() == 0 }, 10*time.Second, time.Millisecond)
}

// readAll reads a queue from offset to its end and gives the bodies.
func readAll(t tester, s *Store, topic string, queue int32, offset int64) []string {
	t.Helper()
	var out []string
	var res GetResult
	for {
		s.Get(&GetRequest{Topic: topic, QueueID: queue, Offset: offset, MaxMsgs: 7}, &res)
		if res.Status == OffsetOverflowOne || res.Status == NoMessageInQueue {
			return out
		}
		require.Equal(t, Found, res.Status, "%s-%d at %d of %d..%d", topic, queue, offset, res.Min, res.Max)
		n := 0
		for _, rec := range res.Records {
			for len(rec) > 0 {
				var m message.Message
				k, err := message.Decode(rec, &m, true)
				require.NoError(t, err)
				require.Equal(t, topic, m.Topic)
				require.Equal(t, queue, m.QueueID)
				require.Equal(t, offset+int64(n), m.QueueOffset)
				out = append(out, string(m.Body))
				rec = rec[k:]
				n++
			}
		}
		require.Equal(t, res.Count, n)
		require.Equal(t, offset+int64(n), res.Next)
		offset = res.Next
		res.Release()
	}
}

func TestStore_PutAndGetOverFilesAndRestarts(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			o := small(fs)
			if name == "os" {
				o.StorePathRootDir = t.TempDir()
			}
			for round := range 3 {
				s := open(t, o)
				for i := range 100 {
					n := round*100 + i
					r := put(t, s, msg("T", int32(n%3), fmt.Sprintf("m%d", n/3*3), "TAGS", "a", "UNIQ_KEY", fmt.Sprint("u", n)))
					require.EqualValues(t, n/3, r.QueueOffset)
				}
				settled(t, s)
				for q := range int32(3) {
					got := readAll(t, s, "T", q, 0)
					require.Len(t, got, (round*100+100-int(q)+2)/3)
					for i, b := range got {
						require.Equal(t, fmt.Sprint("m", i*3), b)
					}
				}
				for _, n := range []int{0, round * 100, round*100 + 99} {
					qr, err := s.Query("T", fmt.Sprint("u", n), 10, 0, math.MaxInt64)
					require.NoError(t, err)
					require.Len(t, qr.Records, 1, "u%d in round %d", n, round)
				}
				require.NoError(t, s.Close())
				require.ErrorIs(t, s.Close(), ErrClosed)
			}
		})
	}
}

func TestStore_BatchStandsInOneFileWithConsecutiveOffsets(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	for i := range 40 {
		p := &Put{Msg: msg("T", 0, "")}
		for k := range 5 {
			p.Batch = append(p.Batch, message.BatchEntry{Flag: int32(k), Body: make([]byte, 200+i)})
		}
		r := s.Put(p)
		require.Equal(t, PutOK, r.Status, "%v", r.Err)
		require.Len(t, r.PhyOffsets, 5)
		require.Equal(t, r.PhyOffset, r.PhyOffsets[0])
		require.Equal(t, r.PhyOffset/(16<<10), r.PhyOffsets[4]/(16<<10), "one file")
		require.EqualValues(t, i*5, r.QueueOffset)
		require.Equal(t, 5, r.Messages)
	}
	settled(t, s)
	require.EqualValues(t, 200, s.MaxOffset("T", 0))
	require.Len(t, readAll(t, s, "T", 0, 0), 200)
}

// Batches of Puts that fill the log's memory to its ends, and records that are
// larger than all of it, among small ones.
func TestStore_SizesAroundThoseOfTheLogsMemory(t *testing.T) {
	o := small(vfs.NewMem())
	o.FileSizeCommitLog, o.MaxMessageSize = 16<<20, 4<<20
	s := open(t, o)
	sizes := []int{1, commitlog.MaxRoom - 200, 3000, commitlog.MaxRoom, 1, 4 << 20, 10, commitlog.MaxRoom/2 - 1, commitlog.MaxRoom / 2,
		700, commitlog.MaxRoom/3 + 1, commitlog.MaxRoom / 3, commitlog.MaxRoom / 3, 5}
	var want []string
	for round := range 6 {
		var ps []*Put
		for i, n := range sizes {
			body := strings.Repeat(string(rune('a'+i)), n-1) + string(rune('0'+round))
			want = append(want, body)
			ps = append(ps, &Put{Msg: msg("T", 0, body)})
		}
		s.PutBatch(ps)
		for i, p := range ps {
			require.Equal(t, PutOK, p.Result.Status, "%v", p.Result.Err)
			require.EqualValues(t, round*len(sizes)+i, p.Result.QueueOffset)
		}
	}
	settled(t, s)
	got := readAll(t, s, "T", 0, 0)
	require.Len(t, got, len(want))
	for i := range want {
		require.True(t, want[i] == got[i], "body %d", i)
	}
}

func TestStore_PreparedRecordsHaveNoQueue(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	put(t, s, msg("T", 0, "a"))
	for _, flag := range []int32{message.SysFlagPrepared, message.SysFlagRollback} {
		m := msg("T", 0, "half", "UNIQ_KEY", fmt.Sprint("k", flag))
		m.SysFlag = flag
		require.Zero(t, put(t, s, m).QueueOffset)
	}
	m := msg("T", 0, "b")
	m.SysFlag = message.SysFlagCommit
	require.EqualValues(t, 1, put(t, s, m).QueueOffset)
	settled(t, s)
	require.Equal(t, []string{"a", "b"}, readAll(t, s, "T", 0, 0))
	qr, err := s.Query("T", fmt.Sprint("k", message.SysFlagPrepared), 9, 0, math.MaxInt64)
	require.NoError(t, err)
	require.Len(t, qr.Records, 1)
	qr, err = s.Query("T", fmt.Sprint("k", message.SysFlagRollback), 9, 0, math.MaxInt64)
	require.NoError(t, err)
	require.Empty(t, qr.Records, "rollback records are not indexed")
}

func TestStore_ChecksOfAPut(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxMessageSize = 1000
	s := open(t, o)
	long := func(n int) string { return string(make([]byte, n)) }
	inner := msg("T", 0, "x")
	inner.SysFlag = message.SysFlagInnerBatch
	noBody, big := msg("T", 0, ""), msg("T", 0, long(1001))
	props := msg("T", 0, "x")
	props.Properties = make([]byte, 32768)
	for _, c := range []struct {
		m    message.Message
		want PutStatus
	}{
		{msg("T234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890", 0, "x"), MessageIllegal},
		{msg("", 0, "x"), MessageIllegal},
		{msg("../up", 0, "x"), MessageIllegal},
		{msg("T", -1, "x"), MessageIllegal},
		{noBody, MessageIllegal}, {big, MessageIllegal}, {inner, MessageIllegal},
		{msg("T", 0, "x", "INNER_NUM", "3"), MessageIllegal},
		{props, PropertiesSizeExceeded},
		{msg("T", 0, long(1000)), PutOK},
		{msg("%RETRY%"+string(make([]byte, 0))+"group", 0, "x"), PutOK},
	} {
		require.Equal(t, c.want, s.Put(&Put{Msg: c.m}).Status, "%.20s", c.m.Topic)
	}
	require.NoError(t, s.Close())
	require.Equal(t, ServiceNotAvailable, s.Put(&Put{Msg: msg("T", 0, "x")}).Status)
	require.ErrorIs(t, s.Writable(), ErrClosed)
}

func TestStore_GetFollowsTheTableOfStatuses(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	get := func(topic string, off int64) (GetStatus, int64) {
		var r GetResult
		defer r.Release()
		s.Get(&GetRequest{Topic: topic, Offset: off, MaxMsgs: 32}, &r)
		return r.Status, r.Next
	}
	check := func(topic string, off int64, st GetStatus, next int64) {
		t.Helper()
		a, b := get(topic, off)
		require.Equal(t, st, a)
		require.Equal(t, next, b)
	}
	check("none", 0, NoMessageInQueue, 0)
	check("none", 5, NoMessageInQueue, 0)
	for i := range 3 {
		put(t, s, msg("T", 0, fmt.Sprint(i), "TAGS", fmt.Sprint("t", i)))
	}
	settled(t, s)
	check("T", -1, OffsetTooSmall, 0)
	check("T", 3, OffsetOverflowOne, 3)
	check("T", 9, OffsetOverflowBadly, 3)
	check("T", 1, Found, 3)
	var r GetResult
	s.Get(&GetRequest{Topic: "T", MaxMsgs: 32, Filter: tagFilter{message.TagsHash("t9")}}, &r)
	require.Equal(t, NoMatchedMessage, r.Status)
	require.EqualValues(t, 3, r.Next)
	s.Get(&GetRequest{Topic: "T", MaxMsgs: 32, Filter: tagFilter{message.TagsHash("t1")}}, &r)
	require.Equal(t, Found, r.Status)
	require.Equal(t, 1, r.Count)
	require.EqualValues(t, 3, r.Next)
	r.Release()
	s.Get(&GetRequest{Topic: "T", MaxMsgs: 32, Filter: recordFilter{}}, &r)
	require.Equal(t, NoMatchedMessage, r.Status)
	require.EqualValues(t, 3, r.Next)
}

type tagFilter struct{ code int64 }

func (f tagFilter) MatchTags(c int64) bool  { return c == f.code }
func (f tagFilter) NeedsRecord() bool       { return false }
func (f tagFilter) MatchRecord([]byte) bool { return true }

type recordFilter struct{}

func (recordFilter) MatchTags(int64) bool    { return true }
func (recordFilter) NeedsRecord() bool       { return true }
func (recordFilter) MatchRecord([]byte) bool { return false }

func TestStore_LimitsOfARead(t *testing.T) {
	o := small(vfs.NewMem())
	o.FileSizeCommitLog, o.PhysicalMemory = 8<<20, 1<<40
	s := open(t, o)
	for range 100 {
		put(t, s, msg("T", 0, string(make([]byte, 1000))))
	}
	put(t, s, msg("big", 0, string(make([]byte, 300<<10))))
	put(t, s, msg("big", 0, "x"))
	settled(t, s)
	var r GetResult
	get := func(q GetRequest) *GetResult {
		r.Release()
		s.Get(&q, &r)
		return &r
	}
	require.Equal(t, 32, get(GetRequest{Topic: "T", MaxMsgs: 64}).Count, "at most 32 from memory")
	require.Equal(t, 10, get(GetRequest{Topic: "T", MaxMsgs: 10}).Count)
	require.Equal(t, 3, get(GetRequest{Topic: "T", MaxMsgs: 32, MaxBytes: 3500}).Count)
	require.Equal(t, 1, get(GetRequest{Topic: "big", MaxMsgs: 32}).Count, "the first one always, alone when too large")
	require.True(t, r.InMemory)
	s.o.PhysicalMemory = 1
	require.Equal(t, 8, get(GetRequest{Topic: "T", MaxMsgs: 32}).Count, "at most 8 from disk")
	require.True(t, r.SuggestSlave)
	require.False(t, r.InMemory)
	r.Release()
}

func TestStore_ArrivedTellsOfEveryMessageInOrder(t *testing.T) {
	o := small(vfs.NewMem())
	var got []Arrival
	done := make(chan struct{})
	o.Arrived = func(a Arrival) {
		a.Properties = nil
		if got = append(got, a); len(got) == 50 {
			close(done)
		}
	}
	s := open(t, o)
	for range 50 {
		put(t, s, msg("T", 1, "x", "TAGS", "tag"))
	}
	<-done
	for i, a := range got {
		require.EqualValues(t, i, a.QueueOffset)
		require.Equal(t, "T", a.Topic)
		require.Equal(t, message.TagsHash("tag"), a.TagsCode)
	}
}

func TestStore_DelayedMessagesCarryTheirDeliveryTime(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, small(fs))
	r := put(t, s, msg("SCHEDULE_TOPIC_XXXX", 2, "x", "DELAY", "3", "TAGS", "a"))
	r2 := put(t, s, msg("SCHEDULE_TOPIC_XXXX", 17, "x", "DELAY", "99"))
	settled(t, s)
	check := func() {
		e, err := s.Entries("SCHEDULE_TOPIC_XXXX", 2, 0, 5)
		require.NoError(t, err)
		require.Equal(t, []consumequeue.Entry{{PhyOffset: r.PhyOffset, Size: int32(r.Bytes), TagsCode: r.StoreTimestamp + 10_000}}, e)
		e, err = s.Entries("SCHEDULE_TOPIC_XXXX", 17, 0, 5)
		require.NoError(t, err)
		require.Equal(t, r2.StoreTimestamp+2*3600_000, e[0].TagsCode)
	}
	check()
	crashed := fs.CrashClone(nil)
	require.NoError(t, s.Close())
	s = open(t, small(fs))
	check()
	_ = crashed
}

func TestStore_DeleteTopicBeginsAgainAtZero(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, small(fs))
	for range 40 {
		put(t, s, msg("T", 0, "old"))
	}
	settled(t, s)
	require.NoError(t, s.DeleteTopic("T"))
	require.Empty(t, s.Topics())
	require.EqualValues(t, 0, put(t, s, msg("T", 0, "new")).QueueOffset)
	settled(t, s)
	require.Equal(t, []string{"new"}, readAll(t, s, "T", 0, 0))
	require.NoError(t, fs.SyncFS("/"))
	image := fs.CrashClone(nil)
	require.NoError(t, s.Close())
	s = open(t, small(image))
	require.Equal(t, []string{"new"}, readAll(t, s, "T", 0, 0), "recovery does not mix the two lives of the topic")
}
