package configfile

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Many changes that come while a write is under way cost one more write, and
// every one of them is in it when its Save returns.
func TestSaver_ChangesThatComeTogetherShareAWrite(t *testing.T) {
	const callers = 100
	var mu sync.Mutex
	var value, written, writes int
	begun, release := make(chan struct{}, callers+1), make(chan struct{})
	s := NewSaver(func() error {
		begun <- struct{}{}
		mu.Lock()
		v := value
		mu.Unlock()
		<-release
		mu.Lock()
		written = v
		writes++
		mu.Unlock()
		return nil
	})
	var all sync.WaitGroup
	var missed atomic.Int32
	change := func() {
		defer all.Done()
		mu.Lock()
		value++
		mine := value
		mu.Unlock()
		if s.Save() != nil {
			missed.Add(1)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if written < mine {
			missed.Add(1)
		}
	}
	all.Add(1)
	go change()
	<-begun // the first write has begun and hangs: all others come too late for it
	var waiting sync.WaitGroup
	waiting.Add(callers)
	all.Add(callers)
	for range callers {
		go func() { waiting.Done(); change() }()
	}
	waiting.Wait()
	close(release)
	all.Wait()
	require.Zero(t, missed.Load(), "a Save returned before its change was written")
	require.Equal(t, callers+1, written)
	// A caller that was slow to come to Save may have needed a round of its own.
	require.Less(t, writes, callers/2, "changes that come together share a write")
}

// Everybody who waited for a write gets its error, and the next write is tried
// again.
func TestSaver_ErrorGoesToAllWhoWaited(t *testing.T) {
	full := errors.New("disk full")
	fail := true
	s := NewSaver(func() error {
		if fail {
			return full
		}
		return nil
	})
	require.ErrorIs(t, s.Save(), full)
	fail = false
	require.NoError(t, s.Save())
}

// A write that panics does not leave others waiting.
func TestSaver_PanicLeavesNobodyWaiting(t *testing.T) {
	s := NewSaver(func() error { panic("broken snapshot") })
	require.Panics(t, func() { _ = s.Save() })
	require.Panics(t, func() { _ = s.Save() }, "the Saver is still usable")
}

// The older copy is used, and why is told, when the file is damaged or gone. Zeros
// inside of a string, which JSON readers may take, are damage.
func TestLoad_Instead(t *testing.T) {
	for name, newest := range map[string]string{"cut": `{"a`, "empty": "", "a block of zeros": "{\"a\":\"\x00\x00\x00\"}", "gone": "-"} {
		t.Run(name, func(t *testing.T) {
			f := NewMemory()
			f.files["x.bak"] = []byte(`{"a":"b"}`)
			if newest != "-" {
				f.files["x"] = []byte(newest)
			}
			var why error
			check := func(b []byte) error {
				if b[len(b)-1] != '}' {
					return errors.New("no end")
				}
				return nil
			}
			data, err := f.Load("x", check, func(err error) { why = err })
			require.NoError(t, err)
			require.Equal(t, `{"a":"b"}`, string(data))
			require.ErrorContains(t, why, "read x:")

			f.files["x"], why = data, nil
			_, err = f.Load("x", check, func(err error) { why = err })
			require.NoError(t, err)
			require.NoError(t, why)
		})
	}
}
