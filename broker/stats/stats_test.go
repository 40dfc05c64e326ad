package stats

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/stretchr/testify/require"
)

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", s, time.Local)
	if err != nil {
		panic(err)
	}
	return t
}

// Pins StatsItem: samples of 10 s, the first preceded by a zero, at most seven.
func TestItem_RatesComeFromSamplesAsInJava(t *testing.T) {
	clk := clock.NewManual(at("2026-01-02 10:00:00"))
	m := New(Options{Clock: clk, Cluster: "C"})
	_, ok := m.View(TopicPutNums, "t")
	require.False(t, ok)
	it := m.Item(TopicPutNums, "t")
	require.Same(t, it, m.Item(TopicPutNums, "t"))
	it.Add(30, 10)
	require.Equal(t, Snapshot{}, it.Snapshot())
	m.sample(0)
	s, ok := m.View(TopicPutNums, "t")
	require.True(t, ok)
	require.Equal(t, Window{Sum: 30, Times: 10, TPS: 3, AvgPT: 3}, s.Minute)
	require.Equal(t, Window{Sum: 30, Times: 10, TPS: 0.05, AvgPT: 3}, s.Hour)
	require.InDelta(t, 30.0/3600, s.Day.TPS, 1e-9)
	for n := 1; n <= 7; n++ {
		clk.Advance(10 * time.Second)
		it.Add(60, 1)
		m.sample(n)
	}
	s = it.Snapshot()
	require.Equal(t, Window{Sum: 360, Times: 6, TPS: 6, AvgPT: 60}, s.Minute, "the last seven samples are a minute")
	require.Equal(t, int64(30), s.Hour.Sum, "no sample for the hour in between")
	require.Equal(t, 6.0, m.MinuteTPS(TopicPutNums, "t"))
	require.Zero(t, m.MinuteTPS(TopicPutNums, "other"))
	require.Zero(t, m.MinuteTPS("NO_SUCH_NAME", "t"))
}

// Pins BrokerStatsManager.incBrokerPutNums, which counts no calls.
func TestItem_BrokerCountersHaveNoAverage(t *testing.T) {
	m := New(Options{Clock: clock.NewManual(at("2026-01-02 10:00:00"))})
	m.Item(BrokerPutNums, "C").Add(5, 1)
	m.sample(0)
	s, _ := m.View(BrokerPutNums, "C")
	require.Equal(t, Window{Sum: 5, TPS: 0.5}, s.Minute)
}

func TestManager_ForgetsDeletedTopicsAndGroups(t *testing.T) {
	m := New(Options{})
	keys := map[string][]string{
		TopicPutNums: {"t", "tt"}, QueuePutNums: {QueueKey("t", 0), QueueKey("tt", 0)},
		GroupGetNums:    {TopicGroupKey("t", "g"), TopicGroupKey("tt", "g"), TopicGroupKey("tt", "h")},
		QueueGetSize:    {QueueGroupKey("t", 1, "g"), QueueGroupKey("tt", 1, "h")},
		GroupGetLatency: {"0@t@g", "0@tt@g", "0@tt@h"}, TopicPutLatency: {"0@t", "0@tt"},
	}
	for n, ks := range keys {
		for _, k := range ks {
			m.Item(n, k).Add(1, 1)
		}
	}
	left := func() (n int) {
		for name, ks := range keys {
			for _, k := range ks {
				if _, ok := m.Lookup(name, k); ok {
					n++
				}
			}
		}
		require.Equal(t, int64(n), m.count.Load())
		return n
	}
	require.Equal(t, 14, left())
	m.TopicDeleted("t")
	require.Equal(t, 8, left())
	m.GroupDeleted("g")
	require.Equal(t, 6, left())
	_, ok := m.Lookup(GroupGetLatency, "0@tt@h")
	require.True(t, ok)
}

func TestManager_IsBounded(t *testing.T) {
	m := New(Options{MaxItems: 10})
	for i := range 100 {
		m.Item(TopicPutNums, fmt.Sprint(i)).Add(1, 1)
	}
	require.Equal(t, int64(90), m.Lost())
	require.Len(t, m.sets[TopicPutNums].items, 10)
	m.Item("NO_SUCH_NAME", "x").Add(1, 1)
	m.TopicDeleted("3")
	m.Item(TopicPutNums, "new").Add(1, 1)
	_, ok := m.Lookup(TopicPutNums, "new")
	require.True(t, ok)
}

// Pins BrokerStats.record.
func TestManager_TotalsMoveAtMidnight(t *testing.T) {
	clk := clock.NewManual(at("2026-01-02 23:59:55"))
	m := New(Options{Clock: clk, Cluster: "C", System: func(topic string) bool { return topic == "SYS" }})
	m.Item(TopicPutNums, "t").Add(7, 1)
	m.Item(TopicPutNums, "SYS").Add(70, 1)
	m.Item(GroupGetNums, TopicGroupKey("t", "g")).Add(3, 1)
	m.Item(GroupGetNums, TopicGroupKey("SYS", "g")).Add(30, 1)
	m.sample(0)
	require.Equal(t, Totals{PutNow: 7, GetNow: 3}, m.Totals())
	s, ok := m.View(BrokerPutNumsNoSystem, "C")
	require.True(t, ok)
	require.Equal(t, int64(7), s.Minute.Sum)
	clk.Advance(10 * time.Second)
	m.sample(1)
	m.TopicDeleted("t")
	m.TopicDeleted("SYS")
	m.Item(TopicPutNums, "t").Add(1, 1)
	require.Equal(t, Totals{PutTodayMorning: 7, PutNow: 8, GetTodayMorning: 3, GetNow: 3}, m.Totals(), "a deleted topic stays counted")
	clk.Advance(24 * time.Hour)
	m.sample(2)
	require.Equal(t, Totals{PutYesterdayMorning: 7, PutTodayMorning: 8, PutNow: 8, GetYesterdayMorning: 3, GetTodayMorning: 3, GetNow: 3}, m.Totals())
}

func TestManager_SamplesUntilShutdown(t *testing.T) {
	clk := clock.NewManual(at("2026-01-02 10:00:00"))
	m := New(Options{Clock: clk})
	it := m.Item(TopicPutNums, "t")
	m.Start()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				m.Item(TopicPutNums, "t").Add(1, 1)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		clk.Advance(tick)
		return it.Snapshot().Minute.Sum > 0
	}, 10*time.Second, time.Millisecond)
	m.Shutdown()
	require.Equal(t, int64(4000), it.Value())
}

func TestManager_ShutdownWithoutStart(t *testing.T) { New(Options{}).Shutdown() }

func BenchmarkItem_FindAndAdd(b *testing.B) {
	m := New(Options{})
	m.Item(TopicPutNums, "topic")
	b.ReportAllocs()
	for b.Loop() {
		m.Item(TopicPutNums, "topic").Add(1, 1)
	}
}
