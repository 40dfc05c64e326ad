package store

import (
	"reflect"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
)

// Tunables are the Options that may change while the store is open (Store.Set):
// those that Java reads at each use. The names, units and defaults are those of
// Options.
type Tunables struct {
	MessageIndexDisable    bool // what comes while it is set is not found by key later
	MaxMessageSize         int
	OSPageCacheBusyTimeout time.Duration
	FlushIntervalCommitLog time.Duration // followed after the interval that runs
	FlushLeastPages        int
	FlushThoroughInterval  time.Duration
	SyncFlushTimeout       time.Duration
	FlushIntervalQueues    time.Duration // followed after the interval that runs
	CheckpointInterval     time.Duration
	MaxTransferBytesMemory int
	MaxTransferCountMemory int
	MaxTransferBytesDisk   int
	MaxTransferCountDisk   int
	MaxFilterMessageSize   int
	AccessInMemoryMaxRatio int
	MaxMsgsNumBatch        int
	FileReservedTime       time.Duration
	DeleteWhen             string
	CleanForciblyOff       bool
	DiskMaxUsedSpaceRatio  int
	DiskCleanForciblyRatio int
	DiskWarningLevelRatio  int
	DeleteFileBatchMax     int
	DeleteFilesInterval    time.Duration
	CleanResourceInterval  time.Duration
}

// tunables takes the fields of the same names out of Options.
func (o *Options) tunables() *Tunables {
	t := new(Tunables)
	from, to := reflect.ValueOf(o).Elem(), reflect.ValueOf(t).Elem()
	for i := range to.NumField() {
		to.Field(i).Set(from.FieldByName(to.Type().Field(i).Name))
	}
	return t
}

// Tune puts tunables into the fields of the same names.
func (o *Options) Tune(t *Tunables) {
	from, to := reflect.ValueOf(t).Elem(), reflect.ValueOf(o).Elem()
	for i := range from.NumField() {
		to.FieldByName(from.Type().Field(i).Name).Set(from.Field(i))
	}
}

// Tunables gives those in force.
func (s *Store) Tunables() Tunables { return *s.tune() }

// tune gives the tunables in force; they are read anew at each use and never
// changed in place.
func (s *Store) tune() *Tunables { return s.tuned.Load() }

// Set changes tunables: f gets a copy of those in force. Every use that begins
// afterwards follows them. It may be called from any goroutine; of Sets that overlap
// the last one counts. f may be called more than once.
func (s *Store) Set(f func(*Tunables)) {
	for {
		old := s.tune()
		next := *old
		f(&next)
		if s.tuned.CompareAndSwap(old, &next) {
			return
		}
	}
}

// period is a ticker whose interval may change: the next one follows.
type period struct {
	clock.Ticker
	clock clock.Clock
	every func() time.Duration
	now   time.Duration
}

func newPeriod(c clock.Clock, every func() time.Duration) *period {
	d := every()
	return &period{Ticker: c.NewTicker(d), clock: c, every: every, now: d}
}

// Stop ends the ticker that runs now, also when it is deferred.
func (p *period) Stop() { p.Ticker.Stop() }

// follow is called after each tick.
func (p *period) follow() {
	if d := p.every(); d != p.now {
		p.Stop()
		p.Ticker, p.now = p.clock.NewTicker(d), d
	}
}
