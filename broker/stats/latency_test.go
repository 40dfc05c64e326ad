package stats

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
)

func TestLatencies(t *testing.T) {
	l := NewLatencies([]protocol.Code{310, 11, 200050, 310})
	for peer := range uint64(9) {
		l.Add(peer, 310, protocol.Success, 1)
		l.Add(peer, 310, protocol.SystemBusy, 4)
		l.Add(peer, 11, protocol.PullNotFound, 15000)
		l.Add(peer, 200050, protocol.Success, -3) // the clock was set back
		l.Add(peer, 99, protocol.RequestCodeNotSupported, 0)
		l.Add(peer, -7, protocol.RequestCodeNotSupported, 0)
	}
	got := slices.Collect(l.Each())
	require.Equal(t, []Latency{
		{Code: 11, Response: protocol.PullNotFound, Count: 9, Total: 9 * 15 * time.Second, Classes: [10]int64{9: 9}},
		{Code: 310, Response: protocol.Success, Count: 9, Total: 9 * time.Millisecond, Classes: [10]int64{0: 9}},
		{Code: 310, Response: protocol.SystemBusy, Count: 9, Total: 36 * time.Millisecond, Classes: [10]int64{2: 9}},
		{Code: 200050, Response: protocol.Success, Count: 9, Classes: [10]int64{0: 9}},
		{Code: OtherCode, Response: protocol.RequestCodeNotSupported, Count: 18, Classes: [10]int64{0: 18}},
	}, got)
}

// Whatever codes come, the table keeps its size and loses no request.
func TestLatencies_ManyCodes(t *testing.T) {
	l := NewLatencies([]protocol.Code{310})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 10_000 {
				l.Add(uint64(g), protocol.Code(310+i%3), protocol.ResponseCode(i%100), int64(i%5000))
			}
		})
	}
	all.Wait()
	n, rows := int64(0), 0
	for x := range l.Each() {
		n += x.Count
		rows++
	}
	require.Equal(t, int64(40_000), n)
	require.LessOrEqual(t, rows, 2*len(l.stripes)*(responsesEach+1))
	require.Zero(t, testing.AllocsPerRun(100, func() { l.Add(1, 310, protocol.Success, 1) }))
}

func BenchmarkLatencies(b *testing.B) {
	l := NewLatencies([]protocol.Code{310})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Add(1, 310, protocol.Success, 1)
		}
	})
}
