package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// fakeQuorum is a Quorum whose answers a test sets.
type fakeQuorum struct {
	admit      atomic.Uint32
	replicated atomic.Int64
	confirmed  atomic.Int64
	timeout    time.Duration
}

func newFakeQuorum() *fakeQuorum {
	q := &fakeQuorum{timeout: 3 * time.Second}
	q.replicated.Store(AllCopies)
	q.confirmed.Store(AllCopies)
	return q
}

func (q *fakeQuorum) Admit() PutStatus       { return PutStatus(q.admit.Load()) }
func (q *fakeQuorum) Replicated() int64      { return q.replicated.Load() }
func (q *fakeQuorum) Confirmed() int64       { return q.confirmed.Load() }
func (q *fakeQuorum) Timeout() time.Duration { return q.timeout }

// putLater stores a message and gives where its result will be.
func putLater(s *Store, m *Put) chan PutResult {
	out := make(chan PutResult, 1)
	m.Done = func(p *Put) { out <- p.Result }
	s.PutBatch([]*Put{m})
	return out
}

func requireNone(t *testing.T, c chan PutResult) {
	t.Helper()
	select {
	case r := <-c:
		t.Fatalf("answered already: %+v", r)
	default:
	}
}

func TestQuorum_MessagesWaitForCopies(t *testing.T) {
	for _, flush := range []FlushDiskType{AsyncFlush, SyncFlush} {
		t.Run(fmt.Sprint(flush), func(t *testing.T) {
			q := newFakeQuorum()
			q.replicated.Store(0)
			o := small(vfs.NewMem())
			o.Quorum, o.FlushDiskType = q, flush
			s := open(t, o)
			one := putLater(s, &Put{Msg: msg("T", 0, "one")})
			two := putLater(s, &Put{Msg: msg("T", 0, "two")})
			unasked := putLater(s, &Put{Msg: msg("T", 0, "three", "WAIT", "false")})
			require.Equal(t, PutOK, (<-unasked).Status, "it asked not to wait")
			require.Eventually(t, func() bool { return flush == AsyncFlush || s.FlushedOffset() == s.MaxPhyOffset() }, 5*time.Second, time.Millisecond)
			require.Zero(t, s.FinalOffset())
			requireNone(t, one)
			end := int64(0)
			require.Eventually(t, func() bool { // the end of the first record
				es, err := s.Entries("T", 0, 0, 1)
				if err != nil || len(es) == 0 {
					return false
				}
				end = es[0].PhyOffset + int64(es[0].Size)
				return true
			}, 5*time.Second, time.Millisecond)
			q.replicated.Store(end)
			s.QuorumMoved()
			require.Equal(t, PutOK, (<-one).Status)
			require.Equal(t, end, s.FinalOffset())
			requireNone(t, two)
			q.replicated.Store(AllCopies)
			s.QuorumMoved()
			require.Equal(t, PutOK, (<-two).Status)
		})
	}
}

func TestQuorum_ConsumersSeeWhatIsConfirmed(t *testing.T) {
	q := newFakeQuorum()
	q.confirmed.Store(0)
	o := small(vfs.NewMem())
	o.Quorum = q
	s := open(t, o)
	first := put(t, s, msg("T", 0, "one"))
	second := put(t, s, msg("T", 0, "two"))
	require.Zero(t, s.MaxOffset("T", 0), "nothing is confirmed")
	q.confirmed.Store(second.PhyOffset)
	s.QuorumMoved()
	require.Eventually(t, func() bool { return s.MaxOffset("T", 0) == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"one"}, readAll(t, s, "T", 0, 0))
	require.Equal(t, second.PhyOffset, s.ConfirmOffset())
	q.confirmed.Store(AllCopies)
	s.QuorumMoved()
	settled(t, s)
	require.Equal(t, []string{"one", "two"}, readAll(t, s, "T", 0, 0))
	require.Less(t, first.PhyOffset, second.PhyOffset)
}

func TestQuorum_TooFewCopiesRefuse(t *testing.T) {
	q := newFakeQuorum()
	q.admit.Store(uint32(InSyncReplicasNotEnough))
	o := small(vfs.NewMem())
	o.Quorum = q
	s := open(t, o)
	r := s.Put(&Put{Msg: msg("T", 0, "one")})
	require.Equal(t, InSyncReplicasNotEnough, r.Status)
	require.Error(t, r.Err)
	require.Zero(t, s.MaxPhyOffset(), "nothing was written")
	q.admit.Store(uint32(PutOK))
	put(t, s, msg("T", 0, "two"))
}

func TestQuorum_SlowCopies(t *testing.T) {
	q := newFakeQuorum()
	q.replicated.Store(0)
	c := clock.NewManual(time.UnixMilli(1_000_000))
	o := small(vfs.NewMem())
	o.Quorum, o.Clock = q, c
	s := open(t, o)
	p := &Put{Msg: msg("T", 0, "one")}
	late := putLater(s, p)
	c.Advance(2900 * time.Millisecond)
	s.committer.expire()
	requireNone(t, late)
	c.Advance(200 * time.Millisecond)
	s.committer.expire()
	r := <-late
	require.Equal(t, FlushSlaveTimeout, r.Status)
	require.Zero(t, r.PhyOffset, "it is stored, and its place is told")
	require.Equal(t, 1, r.Messages)
	settled(t, s)
	require.Equal(t, []string{"one"}, readAll(t, s, "T", 0, 0))
}

// copyLog carries the log of one store to another, in pieces of random size, up to
// the end or so many bytes.
func copyLog(t *testing.T, from, to *Store, rnd *rand.Rand, most int64) {
	t.Helper()
	for most > 0 {
		at := to.RawEnd()
		p, err := from.ReadLog(at, int(min(1+rnd.Int64N(3000), most)))
		require.NoError(t, err)
		if len(p.Bytes) == 0 {
			return
		}
		require.NoError(t, to.AppendRaw(p.Bytes, at))
		most -= int64(len(p.Bytes))
		p.Release()
	}
}

func follower(t *testing.T) (*Store, Options) {
	o := small(vfs.NewMem())
	s := open(t, o)
	s.Follow()
	return s, o
}

func bodies(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("m", i, strings.Repeat("x", i%997)))
	}
	return out
}

func TestAppendRaw_ACopyIsTheSame(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		master := open(t, small(vfs.NewMem()))
		slave, o := follower(t)
		want := bodies(300)
		for i, b := range want { // while it is written, over some 12 files
			put(t, master, msg("T", 0, b, "KEYS", fmt.Sprint("k", i), "UNIQ_KEY", fmt.Sprint("u", i)))
			if rnd.IntN(3) == 0 {
				copyLog(t, master, slave, rnd, 1+rnd.Int64N(4000))
			}
		}
		require.Equal(t, ServiceNotAvailable, slave.Put(&Put{Msg: msg("T", 0, "no")}).Status, "a copy takes no messages")
		copyLog(t, master, slave, rnd, 1<<40)
		require.Equal(t, master.MaxPhyOffset(), slave.MaxPhyOffset())
		settled(t, slave)
		require.Equal(t, want, readAll(t, slave, "T", 0, 0))
		for i := 0; i < 300; i += 37 {
			r, err := slave.Query("T", fmt.Sprint("k", i), 10, 0, 1<<62)
			require.NoError(t, err)
			require.Len(t, r.Records, 1)
		}
		require.NoError(t, slave.Close())
		slave = open(t, o) // what was copied is a store like any other
		require.Equal(t, want, readAll(t, slave, "T", 0, 0))
		slave.Follow()
		put(t, master, msg("T", 0, "after"))
		copyLog(t, master, slave, rnd, 1<<40)
		settled(t, slave)
		require.Equal(t, append(want, "after"), readAll(t, slave, "T", 0, 0))
	}
}

func TestAppendRaw_ACopyThatBeginsLate(t *testing.T) {
	master := open(t, small(vfs.NewMem()))
	want := bodies(200)
	for _, b := range want {
		put(t, master, msg("T", 0, b))
	}
	slave, _ := follower(t)
	segs := master.clog.Segments()
	first := segs[len(segs)-2]
	require.ErrorIs(t, slave.AppendRaw([]byte{1}, first+1), commitlog.ErrOutOfRange, "no file begins there")
	for at := first; at < master.MaxPhyOffset(); at = slave.RawEnd() {
		p, err := master.ReadLog(at, 1000)
		require.NoError(t, err)
		require.NoError(t, slave.AppendRaw(p.Bytes, at))
		p.Release()
	}
	settled(t, slave)
	require.Equal(t, first, slave.MinPhyOffset())
	require.Equal(t, master.MaxOffset("T", 0), slave.MaxOffset("T", 0))
	from := slave.MinOffset("T", 0)
	require.Positive(t, from)
	require.Equal(t, want[from:], readAll(t, slave, "T", 0, from))
}

func TestLead_GoesOnBehindWholeRecords(t *testing.T) {
	master := open(t, small(vfs.NewMem()))
	for _, b := range bodies(20) {
		put(t, master, msg("T", 0, b))
	}
	whole := master.MaxPhyOffset()
	// The body of the last one is full of what looks like records at their places.
	put(t, master, msg("T", 0, strings.Repeat("y", 900)))
	for part := int64(0); part < master.MaxPhyOffset()-whole; part += 61 {
		slave, o := follower(t)
		copyLog(t, master, slave, rand.New(rand.NewPCG(1, uint64(part))), whole+part)
		require.Equal(t, whole, slave.MaxPhyOffset(), "a part is not seen")
		require.Equal(t, whole+part, slave.RawEnd())
		require.NoError(t, slave.Lead())
		require.Equal(t, whole, slave.RawEnd())
		r := put(t, slave, msg("T", 0, "mine"))
		require.Equal(t, whole, r.PhyOffset)
		require.EqualValues(t, 20, r.QueueOffset)
		require.ErrorIs(t, slave.AppendRaw([]byte{1}, slave.RawEnd()), ErrLeads)
		settled(t, slave)
		require.Equal(t, append(bodies(20), "mine"), readAll(t, slave, "T", 0, 0))
		require.NoError(t, slave.Close())
		again := open(t, o)
		require.Equal(t, append(bodies(20), "mine"), readAll(t, again, "T", 0, 0))
	}
}

func TestAppendRaw_APartIsNoRecordAfterAKill(t *testing.T) {
	master := open(t, small(vfs.NewMem()))
	for _, b := range bodies(30) {
		put(t, master, msg("T", 0, b))
	}
	fs := vfs.NewMem()
	slave := open(t, small(fs))
	slave.Follow()
	all := master.MaxPhyOffset()
	copyLog(t, master, slave, rand.New(rand.NewPCG(3, 3)), all-5)
	require.NoError(t, fs.SyncFS("/"))
	o := small(fs.CrashClone(nil))
	again := open(t, o)
	settled(t, again)
	got := readAll(t, again, "T", 0, 0)
	require.Equal(t, bodies(29), got)
	again.Follow()
	copyLog(t, master, again, rand.New(rand.NewPCG(3, 4)), 1<<40)
	settled(t, again)
	require.Equal(t, bodies(30), readAll(t, again, "T", 0, 0))
}

func TestGrown_IsClosedByMessages(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	c := s.Grown(0)
	select {
	case <-c:
		t.Fatal("nothing came")
	default:
	}
	put(t, s, msg("T", 0, "one"))
	<-c
	<-s.Grown(0) // it is longer already
	select {
	case <-s.Grown(s.MaxPhyOffset()):
		t.Fatal("nothing came")
	default:
	}
}

func TestReadLog_Bounds(t *testing.T) {
	s := open(t, small(vfs.NewMem()))
	put(t, s, msg("T", 0, "one"))
	_, err := s.ReadLog(-1, 10)
	require.ErrorIs(t, err, ErrNoRecord)
	_, err = s.ReadLog(s.MaxPhyOffset()+1, 10)
	require.ErrorIs(t, err, ErrNoRecord)
	p, err := s.ReadLog(s.MaxPhyOffset(), 10)
	require.NoError(t, err)
	require.Empty(t, p.Bytes)
}

func TestTruncateAt_CutsAndGoesOn(t *testing.T) {
	for name, point := range map[string]func(s *Store){
		"closed": nil, "floor behind": func(s *Store) { require.NoError(t, s.cleaner.checkpoint()) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			var ends []int64
			for i := range 80 {
				r := put(t, s, msg("T", int32(i%2), damageBody(i)))
				ends = append(ends, r.PhyOffset+int64(r.Bytes))
			}
			settled(t, s)
			if point != nil {
				require.True(t, s.cleaner.do(func() { point(s) }))
				mem = killed(t, mem)
			}
			require.NoError(t, s.Close())
			for _, keep := range []int{70, 40, 41, 3} {
				o := o
				o.FS, o.TruncateAt = mem, ends[keep-1]+1
				if keep != 41 {
					_, err := Open(o)
					require.ErrorContains(t, err, "no place at which a record", "between two records")
				}
				o.TruncateAt = ends[keep-1]
				if keep == 41 { // it is shorter by now
					_, err := Open(o)
					require.ErrorContains(t, err, "behind the end")
					continue
				}
				s := open(t, o)
				require.Equal(t, o.TruncateAt, s.MaxPhyOffset())
				require.EqualValues(t, (keep+1)/2, s.MaxOffset("T", 0))
				require.Len(t, readAll(t, s, "T", 0, 0), (keep+1)/2)
				require.NoError(t, s.Close())
				o.TruncateAt = 0
				s = open(t, o)
				require.Equal(t, ends[keep-1], s.MaxPhyOffset())
				require.NoError(t, s.Close())
			}
			o.FS = mem
			s = open(t, o)
			require.EqualValues(t, 2, put(t, s, msg("T", 0, "next")).QueueOffset)
			settled(t, s)
			require.Equal(t, []string{damageBody(0), damageBody(2), "next"}, readAll(t, s, "T", 0, 0))
		})
	}
}
