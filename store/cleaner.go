package store

import (
	"errors"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/store/index"
)

const (
	// queueStep is how many consume queues one command of the dispatcher treats.
	queueStep = 256
	// unusedFor is how long a file of a consume queue or of the log may lie unused
	// before it is closed, at the least; twice as long at the most.
	unusedFor = time.Minute
	// manualRuns is how often files may go outside the hours after CleanNow.
	manualRuns = 20
	// replayTicks is how many seconds before its floor a checkpoint lets a recovery
	// begin to read: transactions want to see the messages that were committed in the
	// last three.
	replayTicks = 5
)

// cleaner owns the goroutine that writes checkpoints, deletes old files and closes
// unused ones.
type cleaner struct {
	s    *Store
	cmds chan func()

	lastPoint  time.Time // of the last checkpoint
	pointPos   int64     // dispatched then
	lastClean  time.Time
	lastClose  time.Time          // of unused files
	seen       [replayTicks]int64 // what was dispatched at the last ticks, a ring
	ticks      int
	manual     int  // runs that are left
	immediate  bool // delete whatever its age
	cleanedMin int64
}

func newCleaner(s *Store) *cleaner {
	now := s.clock.Now()
	c := &cleaner{s: s, cmds: make(chan func()), lastPoint: now, lastClean: now, lastClose: now,
		pointPos: s.dispatch.pos.Load(), cleanedMin: s.clog.Min()}
	for i := range c.seen {
		c.seen[i] = s.replayFrom
	}
	return c
}

func (c *cleaner) run() {
	defer c.s.wg.Done()
	t := c.s.clock.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C():
			c.tick()
		case fn := <-c.cmds:
			fn()
		case <-c.s.quit:
			return
		}
	}
}

// do runs fn in the cleaner and waits for it; false when the store is closed.
func (c *cleaner) do(fn func()) bool {
	ran := make(chan struct{})
	select {
	case c.cmds <- func() { defer close(ran); fn() }:
		<-ran
		return true
	case <-c.s.quit:
		return false
	}
}

func (c *cleaner) tick() {
	s, now := c.s, c.s.clock.Now()
	c.seen[c.ticks%replayTicks] = s.dispatch.pos.Load()
	c.ticks++
	grown := s.dispatch.pos.Load() - c.pointPos
	if grown >= s.o.CheckpointBytes || grown > 0 && now.Sub(c.lastPoint) >= s.tune().CheckpointInterval {
		if err := c.checkpoint(); err != nil {
			s.log.Error("store: checkpoint failed", "err", err)
		}
		c.lastPoint = now
	}
	if now.Sub(c.lastClean) >= s.tune().CleanResourceInterval {
		c.lastClean = now
		c.clean()
	}
	if now.Sub(c.lastClose) >= unusedFor {
		c.lastClose = now
		s.queues.CloseUnused()
		s.clog.CloseUnused()
	}
}

// errHalf says that a checkpoint must wait: consume queues or index cannot be written,
// and the message that waits for them may be in one and not in the other.
var errHalf = errors.New("store: checkpoint: a message is dispatched half")

// checkpoint writes out what the dispatcher keeps in memory and makes it durable.
func (c *cleaner) checkpoint() error {
	s := c.s
	var at point
	var waiting int
	var ps []index.Pending
	var commit func() error
	var err error
	if !s.dispatch.do(func() {
		if s.dispatch.half {
			err = errHalf
			return
		}
		if commit, err = s.checkpoints(); err == nil {
			ps, err = s.idx.Prepare()
		}
		at, waiting = s.point(ps), s.queues.Waiting()
	}) {
		return ErrClosed
	}
	for ; waiting > 0 && err == nil; waiting -= tailStep {
		if !s.dispatch.do(func() { err = s.queues.WriteTails(min(waiting, tailStep)) }) {
			return ErrClosed
		}
	}
	if err != nil {
		return err
	}
	s.committer.now()
	c.pointPos, at.floor = at.pos, min(at.pos, s.clog.Flushed())
	at.replay = min(c.seen[c.ticks%replayTicks], at.floor) // the oldest
	if err := commit(); err != nil {
		return err
	}
	return s.saveCheckpoint(at, ps)
}

// clean deletes commit log files that are due, and what depended on them.
func (c *cleaner) clean() {
	s := c.s
	space := c.space()
	due := c.hour(s.clock.Now())
	if due || space || c.manual > 0 {
		if c.manual > 0 {
			c.manual--
		}
		n := c.deleteSegments(c.immediate && !s.tune().CleanForciblyOff)
		if n == 0 && space {
			s.log.Warn("store: the disk is filling up, but no file may be deleted")
		}
	}
	if first := s.clog.Min(); first > c.cleanedMin {
		if err := c.follow(first); err != nil {
			s.log.Error("store: cleaning consume queues and index", "err", err)
			return // the next run tries again
		}
		c.cleanedMin = first
	}
}

// hour says whether now is in one of the hours of deleteWhen.
func (c *cleaner) hour(now time.Time) bool {
	for _, h := range strings.Split(c.s.tune().DeleteWhen, ";") {
		if n, err := strconv.Atoi(strings.TrimSpace(h)); err == nil && n == now.Hour() {
			return true
		}
	}
	return false
}

// space looks at the disks: it stops and allows writes, and says whether space
// must be made. As in Java writes stop above the warning level and go on below
// the level at which files are deleted forcibly.
func (c *cleaner) space() bool {
	s, o := c.s, c.s.tune()
	warning := clamp(o.DiskWarningLevelRatio, 35, 90)
	forcibly := clamp(o.DiskCleanForciblyRatio, 30, 85)
	used := max(s.diskRatio(s.o.StorePathCommitLog), s.diskRatio(s.o.StorePathRootDir))
	c.immediate = used > forcibly
	switch {
	case used > warning && !s.diskFull.Swap(true):
		s.log.Error("store: the disk is almost full, messages are refused", "path", s.o.StorePathCommitLog,
			"used", inPercent(used), "limit", inPercent(warning), "until", inPercent(forcibly))
	case used <= min(forcibly, warning) && s.diskFull.Swap(false):
		s.log.Warn("store: there is room on the disk again", "path", s.o.StorePathCommitLog, "used", inPercent(used))
	}
	return c.immediate || used < 0 || used > float64(o.DiskMaxUsedSpaceRatio)/100
}

// inPercent is a share of a disk as the log shows it.
func inPercent(ratio float64) string {
	return strconv.FormatFloat(math.Round(ratio*1000)/10, 'f', -1, 64) + "%"
}

func clamp(percent, low, high int) float64 {
	return float64(min(max(percent, low), high)) / 100
}

// diskRatio is the used share of a disk, -1 when it is not known.
func (s *Store) diskRatio(path string) float64 {
	u, err := s.fs.Usage(path)
	if err != nil {
		return -1
	}
	return u.Ratio()
}

// deleteSegments deletes the oldest commit log files, as many as a run may, and
// gives their number. Only expired ones go, unless at once is set.
func (c *cleaner) deleteSegments(atOnce bool) int {
	s := c.s
	for n := 0; n < s.tune().DeleteFileBatchMax; n++ {
		segs := s.clog.Segments()
		if len(segs) < 2 {
			return n
		}
		closed, err := s.clog.FirstTime(segs[1]) // about when the file was written last
		if err != nil {
			s.log.Error("store: age of a commit log file", "err", err)
			return n
		}
		now := s.clock.Now()
		age := now.Sub(time.UnixMilli(closed))
		expired := closed > 0 && age >= s.tune().FileReservedTime
		if !expired && !atOnce || !c.covered(segs[1]) {
			return n
		}
		if !expired {
			s.log.Warn("store: the disk is too full, messages are deleted before their time",
				"file", s.clog.Path(segs[0]), "from", segs[0], "to", segs[1],
				"age", age.Truncate(time.Second).String(), "fileReservedTime", s.tune().FileReservedTime.String())
		} else {
			s.log.Info("store: commit log file expired", "file", s.clog.Path(segs[0]))
		}
		if n > 0 && !c.pause(s.tune().DeleteFilesInterval) {
			return n
		}
		if _, err := s.clog.Remove(); err != nil {
			s.log.Error("store: delete", "err", err)
			return n // the next run tries again
		}
	}
	return s.tune().DeleteFileBatchMax
}

// covered says whether everything before an offset of the log is durable: the log,
// and the consume queues, which could not be made from a file that is gone. A queue
// that ended earlier after a crash would give its offsets out again.
func (c *cleaner) covered(offset int64) bool {
	s := c.s
	if offset > min(s.dispatch.pos.Load(), s.clog.Flushed()) {
		return false
	}
	if offset <= s.floor() {
		return true
	}
	if err := c.checkpoint(); err != nil {
		s.log.Error("store: a commit log file stays: its consume queues are not on the disk", "offset", offset, "err", err)
		return false
	}
	return offset <= s.floor()
}

// pause waits; false when the store closes.
func (c *cleaner) pause(d time.Duration) bool {
	t := c.s.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-c.s.quit:
		return false
	}
}

// follow moves the minimum of every queue to the new start of the log and
// deletes the consume queue and index files that are not needed any more.
func (c *cleaner) follow(first int64) error {
	s := c.s
	qs := s.queues.Queues()
	sort.Slice(qs, func(i, j int) bool { return qs[i].Topic < qs[j].Topic })
	var failed error
	for len(qs) > 0 {
		n := min(len(qs), queueStep)
		ran := s.dispatch.do(func() {
			for _, q := range qs[:n] {
				if err := s.queues.CorrectMin(q, first); err != nil {
					failed = err
				}
			}
		})
		if !ran {
			return ErrClosed
		}
		qs = qs[n:]
	}
	if !s.dispatch.do(func() {
		if err := s.deleted.prune(first); err != nil {
			failed = err
		}
		if s.idx == nil {
			return
		}
		if err := s.idx.Clean(first); err != nil {
			failed = err
		}
	}) {
		return ErrClosed
	}
	return failed
}

// CleanNow deletes expired commit log files at once and for the next runs,
// whatever the hour (DELETE_EXPIRED_COMMITLOG).
func (s *Store) CleanNow() error {
	if !s.cleaner.do(func() { s.cleaner.manual = manualRuns; s.cleaner.clean() }) {
		return ErrClosed
	}
	return nil
}

// keep is the goroutine that samples the counters and answers puts whose flush
// takes too long.
func (s *Store) keep() {
	defer s.wg.Done()
	var expire <-chan time.Time // nil: never
	if s.o.FlushDiskType == SyncFlush {
		t := s.clock.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		expire = t.C()
	}
	t := s.clock.NewTicker(time.Second)
	defer t.Stop()
	for samples := 1; ; samples++ {
		for sampled := false; !sampled; {
			select {
			case <-expire:
				s.committer.expire()
			case <-t.C(): // each of them counts: windows are numbers of samples
				sampled = true
			case <-s.quit:
				return
			}
		}
		s.stats.sample(s.clock.NowMillis())
		raise(&s.stats.dispatchMax, s.DispatchBehind())
		if samples%60 == 0 {
			s.stats.minute()
		}
	}
}
