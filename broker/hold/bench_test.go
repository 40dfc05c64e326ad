package hold

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store"
)

// BenchmarkWake parks a request, lets its message arrive and waits until it has
// run: what a long poll costs the broker beside its pull.
func BenchmarkWake(b *testing.B) {
	s := New(Options{MaxOffset: func(string, int32) int64 { return 0 }})
	s.Start()
	b.Cleanup(s.Shutdown)
	ran := make(chan struct{}, 1)
	w := Wait{Key: Key{Topic: "T"}, Timeout: time.Minute, Run: func() { ran <- struct{}{} }}
	a := store.Arrival{Topic: "T"}
	b.ReportAllocs()
	for b.Loop() {
		require.True(b, s.Park(w))
		s.Arrived(a)
		<-ran
	}
}

// BenchmarkArrived is a message that nobody waits for, beside 1,000 requests that
// wait for other queues: what the dispatcher pays for every message.
func BenchmarkArrived(b *testing.B) {
	s := New(Options{MaxOffset: func(string, int32) int64 { return 0 }})
	s.Start()
	b.Cleanup(s.Shutdown)
	for i := range 1000 {
		require.True(b, s.Park(Wait{Key: Key{Topic: "U", QueueID: int32(i)}, Timeout: time.Minute, Run: func() {}}))
	}
	a := store.Arrival{Topic: "T"}
	b.ReportAllocs()
	for b.Loop() {
		s.Arrived(a)
	}
}
