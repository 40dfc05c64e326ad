package role

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// world notes what its services do.
type world struct {
	Services
	log []string
}

func (w *world) note(what string) func() { return func() { w.log = append(w.log, what) } }

func (w *world) add(name string, master bool) {
	sv := Service{
		Name:  name,
		Start: func() error { w.note("+" + name)(); return nil },
		Stop:  func(context.Context) error { w.note("-" + name)(); return nil },
	}
	if master {
		sv.Pause, sv.Resume = w.note("p"+name), w.note("r"+name)
	}
	w.Add(sv)
}

func (w *world) took() string {
	defer func() { w.log = nil }()
	return strings.Join(w.log, " ")
}

func newWorld() *world {
	w := &world{}
	w.Started(Service{Name: "store", Stop: func(context.Context) error { w.note("-store")(); return errors.New("disk") }})
	w.add("a", false)
	w.add("b", true)
	w.add("c", true)
	return w
}

func TestServices_FollowTheRole(t *testing.T) {
	w := newWorld()
	require.ErrorIs(t, w.Become(Snapshot{}), ErrStopped)
	require.NoError(t, w.Start(Snapshot{Kind: SyncMaster}))
	require.Equal(t, "+a +b +c", w.took())
	require.NoError(t, w.Become(Snapshot{Kind: Slave, BrokerID: 2, Epoch: 5, Master: "m:1"}))
	require.Equal(t, "pc pb", w.took())
	require.Equal(t, Snapshot{Kind: Slave, BrokerID: 2, Epoch: 5, Master: "m:1"}, w.Role())
	require.NoError(t, w.Become(Snapshot{Kind: Slave, BrokerID: 2, Epoch: 6, Master: "n:1"}))
	require.Empty(t, w.took(), "another master")
	require.ErrorContains(t, w.Become(Snapshot{Epoch: 4}), "epoch 4")
	require.NoError(t, w.Become(Snapshot{Epoch: 6}))
	require.Equal(t, "rb rc", w.took())
	require.NoError(t, w.Become(Snapshot{Kind: Slave, Epoch: 6}))
	w.took()
	require.ErrorContains(t, w.Stop(context.Background()), "stop store: disk")
	require.Equal(t, "-c -b -a -store", w.took(), "paused ones, too")
	require.NoError(t, w.Stop(context.Background()))
	require.Empty(t, w.took(), "once")
}

func TestServices_ASlaveFromTheStart(t *testing.T) {
	w := newWorld()
	require.NoError(t, w.Start(Snapshot{Kind: Slave}))
	require.Equal(t, "+a", w.took())
	require.NoError(t, w.Become(Snapshot{}))
	require.Equal(t, "+b +c", w.took())
}

func TestServices_OneThatDoesNotStart(t *testing.T) {
	w := newWorld()
	w.Add(Service{Name: "port", Start: func() error { return errors.New("taken") }})
	w.add("never", false)
	require.ErrorContains(t, w.Start(Snapshot{}), "start port: taken")
	w.took()
	require.Error(t, w.Stop(context.Background()))
	require.Equal(t, "-c -b -a -store", w.took(), "what was started, and nothing else")
}

func TestParse(t *testing.T) {
	r, err := Parse("SLAVE", 3)
	require.NoError(t, err)
	require.Equal(t, Snapshot{Kind: Slave, BrokerID: 3}, r)
	require.False(t, r.IsMaster())
	_, err = Parse("MASTER", 0)
	require.Error(t, err)
	require.Equal(t, "SYNC_MASTER", SyncMaster.String())
}
