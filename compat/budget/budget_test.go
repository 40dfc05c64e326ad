package budget

import (
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// peer is an account whose owner ends it when it is told to go.
func peer(b *Budget) (*Account, *error) {
	reason := new(error)
	var a *Account
	a = b.Open(func(err error) {
		*reason = err
		a.End()
	})
	return a, reason
}

func TestRelieve_TheLargestGoFirst(t *testing.T) {
	b := New(1<<20, 1<<20)
	honest, kept := peer(b)
	honest.Add(Output, 10<<10)
	var hogs []*error
	for i := range 6 {
		a, reason := peer(b)
		a.Add(Input, 100<<10+int64(i))
		a.Add(Parked, 20<<10)
		hogs = append(hogs, reason)
	}
	require.False(t, b.Over())
	require.Zero(t, b.Relieve(), "nobody goes while there is room")
	last, reason := peer(b)
	last.Add(Work, 300<<10)
	require.True(t, b.Over())
	<-b.Pressed()
	require.Equal(t, 1, b.Relieve())
	require.ErrorIs(t, *reason, ErrLimit)
	require.Contains(t, (*reason).Error(), "307200 bytes: work 307200", "the line says how much and what for")
	require.NoError(t, *kept)
	for _, r := range hogs {
		require.NoError(t, *r)
	}
	require.LessOrEqual(t, b.Used(), b.Limit())
}

func TestRelieve_OverItsShare(t *testing.T) {
	b := New(1<<20, 64<<10)
	a, reason := peer(b)
	a.Add(Output, 60<<10)
	a.Add(Tables, 10<<10)
	<-b.Pressed()
	require.Equal(t, 1, b.Relieve())
	require.ErrorIs(t, *reason, ErrShare)
	require.Contains(t, (*reason).Error(), "output 61440, tables 10240")
	require.Zero(t, b.Used())
}

// Small charges do not touch what all accounts share.
func TestAccount_TakesInSteps(t *testing.T) {
	b := New(1<<20, 1<<20)
	a, _ := peer(b)
	a.Add(Output, 1)
	require.EqualValues(t, step, b.Used())
	for range 100 {
		a.Add(Output, 1000)
		a.Add(Output, -1000)
	}
	require.EqualValues(t, step, b.Used())
	a.Add(Output, 10*step)
	a.Add(Output, -10*step)
	require.EqualValues(t, step, b.Used(), "what is free is given back")
	a.End()
	require.Zero(t, b.Used())
	a.Add(Output, 10*step)
	require.Zero(t, b.Used(), "an ended account counts nothing")
}

func TestAccount_NilCountsNothing(t *testing.T) {
	var b *Budget
	a := b.Open(nil)
	a.Add(Input, 1<<40)
	require.True(t, a.Fits(1<<40))
	require.Zero(t, a.Total())
	require.False(t, b.Over())
	require.Nil(t, b.Pressed())
	a.End()
}

// Whatever many goroutines do, the budget has nothing left over at the end.
func TestAccount_Together(t *testing.T) {
	b := New(1<<30, 1<<30)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			a := b.Open(func(error) {})
			var both sync.WaitGroup
			for range 2 {
				sizes := make([]int64, 500)
				for i := range sizes {
					sizes[i] = r.Int64N(100 << 10)
				}
				both.Go(func() {
					for _, n := range sizes {
						a.Add(Work, n)
						a.Add(Work, -n)
					}
				})
			}
			both.Wait()
			if a.Total() != 0 || a.granted.Load() > 4*step {
				t.Errorf("%s left, %d taken", a, a.granted.Load())
			}
			a.End()
		})
	}
	all.Wait()
	require.Zero(t, b.Used())
}

func TestMachine_Memory(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		limit int64
		want  int64
	}{
		"nothing known": {nil, math.MaxInt64, 0},
		"bare machine":  {map[string]string{"/proc/meminfo": "MemFree: 1 kB\nMemTotal:  2048 kB\n"}, math.MaxInt64, 2 << 20},
		"GOMEMLIMIT":    {map[string]string{"/proc/meminfo": "MemTotal: 2048 kB\n"}, 1 << 20, 1 << 20},
		"version 2": {map[string]string{
			"/proc/meminfo": "MemTotal: 2048 kB\n", "/proc/self/cgroup": "0::/a/b\n",
			"/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "65536\n",
		}, math.MaxInt64, 64 << 10},
		"version 1": {map[string]string{
			"/proc/meminfo": "MemTotal: 2048 kB\n", "/proc/self/cgroup": "9:cpu,cpuacct:/x\n7:memory:/y\n0::/\n",
			"/sys/fs/cgroup/memory/y/memory.limit_in_bytes": "131072\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, math.MaxInt64, 128 << 10},
		"path of the host": {map[string]string{
			"/proc/self/cgroup": "7:memory:/docker/0123\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "4096",
		}, math.MaxInt64, 4096},
		"broken": {map[string]string{"/proc/meminfo": "MemTotal: x kB", "/proc/self/cgroup": "garbage"}, math.MaxInt64, 0},
	} {
		m := Machine{GoLimit: c.limit, ReadFile: func(p string) ([]byte, error) {
			if s, ok := c.files[p]; ok {
				return []byte(s), nil
			}
			return nil, fs.ErrNotExist
		}}
		require.Equal(t, c.want, m.Memory(), name)
	}
	require.Positive(t, Machine{ReadFile: os.ReadFile, GoLimit: debug.SetMemoryLimit(-1)}.Memory(), "this machine")
}

func TestDefault(t *testing.T) {
	limit, share := Default(512 << 20)
	require.EqualValues(t, 128<<20, limit)
	require.EqualValues(t, 32<<20, share)
	limit, share = Default(64 << 30)
	require.EqualValues(t, 16<<30, limit)
	require.EqualValues(t, mostShare, share)
	limit, share = Default(1 << 20)
	require.EqualValues(t, leastLimit, limit)
	require.EqualValues(t, leastLimit, share)
	b := For(1<<20, 1<<10, 0)
	require.EqualValues(t, 1<<20, b.Limit())
	require.EqualValues(t, 1<<10, b.Share())
}

// What a closed account has not given back yet makes nobody else go, and is told of.
func TestRelieve_WhoIsLeavingDoesNotCount(t *testing.T) {
	b := New(1<<20, 1<<20)
	hog := b.Open(func(error) {}) // its owner takes its time
	other, kept := peer(b)
	hog.Add(Output, 900<<10)
	other.Add(Output, 300<<10)
	require.True(t, b.Over())
	require.Equal(t, 1, b.Relieve())
	require.False(t, b.Over())
	require.Zero(t, b.Relieve())
	require.NoError(t, *kept)
	require.True(t, other.Fits(500<<10))
	hog.Add(Output, 500<<10)
	require.False(t, b.Over())
	require.True(t, b.Crowded())
	hog.End()
	require.False(t, b.Crowded())
	require.EqualValues(t, 304<<10, b.Used())
	other.End()
	require.Zero(t, b.Used())
	require.Zero(t, b.leaving.Load())
}
