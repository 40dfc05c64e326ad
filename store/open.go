package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/index"
	"github.com/merlinmq/merlin/store/vfs"
)

// Store is an open message store. All exported methods may be called from any
// goroutine.
type Store struct {
	o      Options // as it was opened; what may change is read with tune
	tuned  atomic.Pointer[Tunables]
	fs     vfs.FS
	clock  clock.Clock
	log    *slog.Logger
	delays []int64 // ms by level

	lock   io.Closer
	disk   vfs.Disk // that holds the root directory
	clog   *commitlog.Log
	queues *consumequeue.Set
	idx    *index.Index
	// deleted belongs to the dispatcher.
	deleted *deleted
	bufs    buffers
	stats   stats

	committer *committer
	dispatch  *dispatcher
	cleaner   *cleaner
	wake      chan struct{} // there is something to dispatch
	growth    growth        // of the log
	quit      chan struct{} // ends keeper and cleaner
	wg        sync.WaitGroup

	// appendMu orders appends: it guards the commit log's writing side, Next of
	// each consume queue, and no other lock of the store is taken inside but the
	// leaves of the log.
	appendMu  sync.Mutex
	lockSince atomic.Int64 // ms when appendMu was taken, 0 while it is free
	follows   atomic.Bool  // it is a copy of another broker's; changes under appendMu

	appendedTime atomic.Int64 // store time of the newest record
	flushedTime  atomic.Int64 // store time up to which the log is durable
	diskFull     atomic.Bool
	dispatchErr  atomic.Pointer[error]
	boot         int64 // ms
	// replayFrom is where the recovery began to read.
	replayFrom int64
	damage     Damage   // what the recovery found
	lastDamage [2]int64 // the last piece of it, in the log
	ends       *ends    // of queues and index files at the floor, nil when not known; recovery's
	hurt       bool     // the record before the floor is damaged; recovery's

	unreadLines, damageLines lines // about reads that failed, and damaged messages
	faults                   faultCounts

	// closeMu is held for reading by every put, and for writing by Close when it
	// sets closing: after that no put is under way.
	closeMu sync.RWMutex
	closing atomic.Bool
	closed  sync.Once
	cpMu    sync.Mutex // guards cp and cpErr
	cp      checkpoint
	cpErr   error
}

func (s *Store) path(name string) string { return filepath.Join(s.o.StorePathRootDir, name) }

// enter keeps Close waiting; false once the store closes.
func (s *Store) enter() bool {
	s.closeMu.RLock()
	if s.closing.Load() {
		s.closeMu.RUnlock()
		return false
	}
	return true
}

func (s *Store) leave() { s.closeMu.RUnlock() }

// Open takes the directory over, brings it into a consistent state and starts
// the store. Only one store (or Java broker) can have a directory open.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, fs: o.FS, clock: o.Clock, log: o.Logger,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), boot: o.Clock.NowMillis()}
	s.tuned.Store(o.tunables())
	if s.delays, err = parseDelayLevels(o.MessageDelayLevel); err != nil {
		return nil, err
	}
	if err := vfs.MkdirDurable(s.fs, o.StorePathRootDir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if s.lock, err = s.fs.Lock(s.path("lock")); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// Before anything is written: it must not miss an error.
	if s.disk, err = s.fs.OpenDisk(s.o.StorePathRootDir); err != nil {
		return nil, fmt.Errorf("store: %w", errors.Join(err, s.lock.Close()))
	}
	if err := s.load(); err != nil {
		s.unload()
		return nil, err
	}
	s.tellTimers()
	s.start()
	return s, nil
}

// load opens the parts and recovers.
func (s *Store) load() (err error) {
	owner, err := loadOwner(s.fs, s.path("abort"))
	if err != nil {
		return err
	}
	if s.cp, err = loadCheckpoint(s.fs, s.path("checkpoint")); err != nil {
		return err
	}
	if owner.merlin && s.cp.rewritten {
		owner.merlin = false // old Java brokers leave the abort file as they find it
	}
	if s.clog, err = commitlog.Open(commitlog.Options{
		FS: s.fs, Dir: s.o.StorePathCommitLog, SegmentSize: s.o.FileSizeCommitLog, WrittenSize: s.cp.logFile,
		TailBytes: s.o.TailBytes, ZeroAhead: s.o.ZeroAhead, MaxRecord: s.o.maxRecord(), Logger: s.log,
		Aside: filepath.Join(filepath.Dir(s.o.StorePathCommitLog), asideName),
	}); err != nil {
		return err
	}
	if s.queues, err = consumequeue.Open(consumequeue.Options{
		FS: s.fs, Dir: s.path("consumequeue"), FileSize: s.o.FileSizeConsumeQueue,
		WrittenSize: s.cp.queueFile, MaxOpen: s.o.MaxOpenConsumeQueueFile, Logger: s.log,
	}); err != nil {
		return err
	}
	if s.idx, err = index.Open(index.Options{ // also with messageIndexEnable=false, which may change
		FS: s.fs, Dir: s.path("index"), Slots: s.o.MaxHashSlotNum, Entries: s.o.MaxIndexNum,
		Now: s.clock.Now, Logger: s.log, Aside: s.path(asideName),
	}); err != nil {
		return err
	}
	if err := s.loadDeleted(); err != nil {
		return err
	}
	s.dispatch = newDispatcher(s)
	if err := s.markAbort(); err != nil {
		return err
	}
	return s.recover(owner)
}

// asideName is the directory for files that are taken out of the commit log's.
const asideName = "cut"

func (s *Store) loadDeleted() (err error) {
	bad := ""
	s.deleted, bad, err = loadDeleted(s.fs, s.path(deletedName))
	if bad != "" {
		s.log.Warn("store: marks of deleted queues are not read, the queues may come back when the log is read again", "reason", bad)
	}
	return err
}

// unload gives everything back. Nothing is written.
func (s *Store) unload() {
	if s.clog != nil {
		s.clog.Close()
	}
	if s.queues != nil {
		s.queues.Close()
	}
	if s.idx != nil {
		s.idx.Close()
	}
	if err := s.disk.Close(); err != nil { // only syncs go through it
		s.log.Warn("store: root directory", "err", err)
	}
	if err := s.lock.Close(); err != nil {
		s.log.Warn("store: lock file", "err", err)
	}
}

func (s *Store) start() {
	s.committer = newCommitter(s)
	s.cleaner = newCleaner(s)
	go s.committer.run()
	go s.dispatch.run()
	s.wg.Add(2)
	go s.keep()
	go s.cleaner.run()
}

// Close stops accepting messages, makes everything durable and gives the
// directory back. The abort file goes only when all of it worked, so that the
// next start recovers with care otherwise; the error says what did not.
func (s *Store) Close() error {
	err := ErrClosed
	s.closed.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	s.closeMu.Lock()
	s.closing.Store(true)
	s.closeMu.Unlock()

	close(s.quit) // keeper and cleaner
	s.wg.Wait()
	close(s.committer.quit) // flushes and completes what waits
	<-s.committer.done
	close(s.dispatch.quit)
	<-s.dispatch.done

	err := s.clog.Failed()
	if err == nil && s.follows.Load() {
		err = s.dropPart() // the next start need not look at it
	}
	if err == nil {
		err = s.drain()
	}
	if err == nil {
		err = s.finish()
	}
	s.unload()
	if err != nil {
		s.log.Error("store: not closed cleanly, the abort file stays", "err", err)
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// drain dispatches what is left. The dispatcher's goroutine is gone.
func (s *Store) drain() error {
	d := s.dispatch
	defer d.win.drop()
	if err := d.upTo(d.limit()); err != nil {
		return err
	}
	return s.queues.WriteTails(s.queues.Waiting())
}

// finish writes the last checkpoint and removes the abort file.
func (s *Store) finish() error {
	commit, err := s.checkpoints()
	if err == nil {
		err = commit()
	}
	if err != nil {
		return err
	}
	ps, err := s.idx.Prepare()
	if err != nil {
		return err
	}
	if err := s.saveCheckpoint(s.point(ps), ps); err != nil {
		return err
	}
	if err := s.fs.Remove(s.path("abort")); err != nil {
		return err
	}
	return s.fs.SyncDir(s.o.StorePathRootDir)
}

// point is a moment of the dispatcher that a checkpoint stands for.
type point struct {
	time   int64  // store time of the last record dispatched
	pos    int64  // everything before is dispatched
	floor  int64  // and durable in the log
	replay int64  // where a recovery begins to read
	last   int64  // where the last record before pos begins
	ends   []byte // of the consume queues, the content of their file
}

// point is this moment; ps is what Prepare of the index gave at it. REQUIRES: the dispatcher, between two messages.
func (s *Store) point(ps []index.Pending) point {
	p := point{time: s.dispatch.time.Load(), pos: s.dispatch.pos.Load(), last: s.dispatch.last}
	p.floor = min(p.pos, s.clog.Flushed())
	if s.dispatch.skipped {
		p.floor = min(p.floor, p.last) // the one of before stays
	}
	p.replay = p.floor
	p.ends = s.queueEnds(p.pos, p.last, ps)
	return p
}

// saveCheckpoint makes consume queues and index durable up to a moment, and
// says so in the checkpoint file. A failed sync is final: what it dropped may
// never be written, so the old checkpoint stays and the next start builds again
// from there. Any other failure, for want of space say, is over when the next
// attempt works.
func (s *Store) saveCheckpoint(at point, ps []index.Pending) error {
	s.cpMu.Lock()
	defer s.cpMu.Unlock()
	if s.cpErr != nil {
		return s.cpErr
	}
	if err := s.syncQueues(ps); err != nil {
		err = fmt.Errorf("store: checkpoint: %w", err)
		if errors.Is(err, errSync) || errors.Is(err, index.ErrSync) {
			s.cpErr = err
			s.log.Error("store: no checkpoint is written any more", "err", err)
		}
		return err
	}
	c := s.cp
	c.physical, c.logics = s.flushedTime.Load(), at.time
	if !s.tune().MessageIndexDisable {
		c.index = at.time
	}
	if at.floor == at.pos { // otherwise the log cannot be synced, and the old floor stays
		if err := replaceFile(s.fs, s.path(endsName), at.ends); err != nil {
			return fmt.Errorf("store: checkpoint: %w", err)
		}
		c.known, c.floor, c.replay, c.last = true, at.floor, at.replay, at.last
	}
	c.logFile, c.queueFile = s.o.FileSizeCommitLog, s.o.FileSizeConsumeQueue
	if err := c.save(s.fs, s.path("checkpoint")); err != nil {
		return err
	}
	s.cp = c
	return nil
}

// floor is up to where log, consume queues and index are durable, as the checkpoint
// says; 0 when it says nothing.
func (s *Store) floor() int64 {
	s.cpMu.Lock()
	defer s.cpMu.Unlock()
	if !s.cp.known {
		return 0
	}
	return s.cp.floor
}

// errSync says that consume queues could not be made durable.
var errSync = errors.New("sync failed")

func (s *Store) syncQueues(ps []index.Pending) error {
	if s.idx != nil {
		if err := s.idx.Commit(ps); err != nil {
			return err
		}
	}
	if err := s.disk.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errSync, err)
	}
	return nil
}
