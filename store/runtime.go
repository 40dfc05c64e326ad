package store

import (
	"fmt"
	"math"
	"strconv"

	"github.com/merlinmq/merlin/compat/javastr"
)

// RuntimeInfo gives the keys of GET_BROKER_RUNTIME_INFO (28) that belong to the
// store, in the texts of the Java broker.
func (s *Store) RuntimeInfo() map[string]string {
	t := &s.stats
	puts := max(t.puts.Load(), 1) // as Java has it
	bytes := t.putBytes.Load()
	behind := s.clog.Max() - s.clog.Flushed()
	i := func(n int64) string { return strconv.FormatInt(n, 10) }
	d := javaDouble
	earliest, err := s.EarliestTime()
	if err != nil {
		earliest = -1 // unknown; the log has the line
	}
	logRatio := percent(s.diskRatio(s.o.StorePathCommitLog))
	m := map[string]string{
		"bootTimestamp":                   i(s.boot),
		"runtime":                         runtimeText(s.clock.NowMillis() - s.boot),
		"putMessageEntireTimeMax":         i(t.putMax.Load()),
		"putMessageTimesTotal":            i(puts),
		"putMessageFailedTimes":           i(t.failed.Load()),
		"putMessageSizeTotal":             i(bytes),
		"putMessageDistributeTime":        t.distributionText(),
		"putMessageAverageSize":           d(float64(bytes) / float64(puts)),
		"dispatchMaxBuffer":               i(t.dispatchMax.Load()),
		"getMessageEntireTimeMax":         i(t.getMax.Load()),
		"putTps":                          t.tps(func(s sample) int64 { return s.puts }),
		"getFoundTps":                     t.tps(func(s sample) int64 { return s.found }),
		"getMissTps":                      t.tps(func(s sample) int64 { return s.missed }),
		"getTotalTps":                     t.tps(func(s sample) int64 { return s.found + s.missed }),
		"getTransferredTps":               t.tps(func(s sample) int64 { return s.transferred }),
		"putLatency99":                    fmt.Sprintf("%.2f", t.latencyAt(0.99)),
		"putLatency999":                   fmt.Sprintf("%.2f", t.latencyAt(0.999)),
		"commitLogDiskRatio":              d(logRatio),
		"consumeQueueDiskRatio":           d(percent(s.diskRatio(s.o.StorePathRootDir))),
		"commitLogMinOffset":              i(s.clog.Min()),
		"commitLogMaxOffset":              i(s.clog.Max()),
		"earliestMessageTimeStamp":        i(earliest),
		"dispatchBehindBytes":             i(s.DispatchBehind()),
		"pageCacheLockTimeMills":          i(s.LockedFor()),
		"remainTransientStoreBufferNumbs": i(2147483647), // there is no such pool
		"remainHowManyDataToFlush":        readableBytes(behind),
	}
	m["commitLogDiskRatio_"+s.o.StorePathCommitLog] = d(logRatio)
	// Java has no such keys; they are there only when there is something to say.
	f := s.Faults()
	for key, n := range map[string]int64{
		"damagedPlacesPassedOver": int64(s.damage.Pieces), "damagedBytesPassedOver": s.damage.Bytes,
		"damagedPlacesNotDispatched": f.Undispatched, "damagedMessagesLeftOut": f.Records,
		"damagedMessagesServed": f.Rotten, "misplacedMessagesServed": f.Misplaced, "failedReads": f.Reads,
	} {
		if n > 0 {
			m[key] = i(n)
		}
	}
	// Java takes the root directory here, and counts what is kept for the root user.
	if u, err := s.fs.Usage(s.o.StorePathRootDir); err == nil {
		m["commitLogDirCapacity"] = fmt.Sprintf("Total : %s, Free : %s.", readableBytes(u.Size), readableBytes(u.Unused))
	}
	return m
}

// javaDouble is the text of Java's Double.toString.
func javaDouble(v float64) string { return string(javastr.AppendDouble(nil, v)) }

// percent rounds a used share up to whole percents, as Java reports it; unknown
// (-1) stays.
func percent(ratio float64) float64 { return math.Ceil(ratio*100) / 100 }

func runtimeText(ms int64) string {
	sec := ms / 1000
	return fmt.Sprintf("[ %d days, %d hours, %d minutes, %d seconds ]", sec/86400, sec/3600%24, sec/60%60, sec%60)
}

// readableBytes is the broker's text of a size: "12.0 GiB".
func readableBytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, k := float64(n)/unit, 0
	for v >= unit && k < 5 {
		v /= unit
		k++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[k])
}
