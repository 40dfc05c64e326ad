package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// A dispatcher that is far behind meets a record that rotted meanwhile: it is passed
// over with a line, what follows is dispatched, puts are taken, and the next start does
// not cut the log there.
func TestDamage_BeforeTheDispatcher(t *testing.T) {
	const each, bad = 60, 20
	for what, c := range map[string]struct {
		at   int64
		b    []byte
		lost int // messages at least
	}{
		"size": {0, []byte{0x7F}, 1}, "magic": {5, []byte{0}, 1}, "place": {30, []byte{9}, 1}, "body length": {84, []byte{0xFF}, 1},
		"all of the head": {0, make([]byte, 120), 1},
	} {
		for _, closed := range []bool{true, false} {
			t.Run(fmt.Sprint(what, " closed ", closed), func(t *testing.T) {
				mem := vfs.NewMem()
				o, j := small(mem), &journal{}
				o.Logger = j.logger()
				s := open(t, o)
				held, release := make(chan struct{}), make(chan struct{})
				go s.dispatch.do(func() { close(held); <-release })
				<-held
				var rs []PutResult
				for i := range each {
					rs = append(rs, put(t, s, msg("T", 0, damageBody(i))))
				}
				at := rs[bad].PhyOffset
				overwrite(t, mem, o, at+c.at, c.b)
				close(release)
				settled(t, s)
				next := put(t, s, msg("T", 0, "next"))
				require.EqualValues(t, each, next.QueueOffset)
				settled(t, s)
				got := readable(t, s, "T", 0)
				lost := each + 1 - len(got)
				require.GreaterOrEqual(t, lost, c.lost)
				require.LessOrEqual(t, lost, 16) // its file, at worst
				require.EqualValues(t, 1, s.Faults().Undispatched)
				require.Contains(t, j.String(), fmt.Sprintf("offset=%d", at))
				require.Equal(t, "1", s.RuntimeInfo()["damagedPlacesNotDispatched"])

				if closed {
					require.NoError(t, s.Close())
				} else {
					require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
					put(t, s, msg("T", 0, "one more"))
					o.FS = killed(t, mem)
				}
				s = open(t, o)
				again := readable(t, s, "T", 0)
				for k, body := range got {
					require.Equal(t, body, again[k])
				}
				require.GreaterOrEqual(t, put(t, s, msg("T", 0, "last")).QueueOffset, next.QueueOffset+1)
			})
		}
	}
}
