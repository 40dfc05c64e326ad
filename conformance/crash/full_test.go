package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/probe"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/protocol"
)

const (
	diskBytes = 64 << 20
	diskLog   = 4 << 20 // size of a log file there
	// insideEnv is set in the process that runs in a name space of its own.
	insideEnv = "MERLIN_CRASH_INSIDE"
	// soon bounds waits for what the broker does every 200 ms.
	soon = 30 * time.Second
)

// smallDisk mounts a tmpfs, in a name space of its own where that takes one. It
// gives "" when another process has run the test.
func smallDisk(t *testing.T) string {
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes))
	if err == nil {
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
		return dir
	}
	if os.Getenv(insideEnv) == "" {
		if exec.Command("unshare", "-Urm", "true").Run() == nil {
			cmd := exec.Command("unshare", "-Urm", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
			cmd.Env = append(os.Environ(), insideEnv+"=1")
			out, err := cmd.CombinedOutput()
			t.Logf("in a name space of its own:\n%s", out)
			require.NoError(t, err)
			return ""
		}
	}
	reference.Skip(t, "A FULL DISK IS NOT TESTED: no small disk can be mounted here: %v", err)
	return ""
}

// filler is a file that takes the room of the disk.
type filler struct {
	t    *testing.T
	path string
}

// leave makes the file so large that the disk has so much room.
func (f filler) leave(free int64) {
	f.t.Helper()
	require.NoError(f.t, gone(os.Remove(f.path)))
	var st syscall.Statfs_t
	require.NoError(f.t, syscall.Statfs(filepath.Dir(f.path), &st))
	h, err := os.Create(f.path)
	require.NoError(f.t, err)
	defer h.Close()
	if n := int64(st.Bavail)*st.Bsize - free; n > 0 {
		require.NoError(f.t, syscall.Fallocate(int(h.Fd()), 0, 0, n))
	}
}

// full is a broker on a small disk and what its clients saw.
type full struct {
	t     *testing.T
	c     cluster.Cluster
	store string
	disk  filler
	his   *History
	seq   int64
}

func startFull(t *testing.T, conf map[string]string) *full {
	dir := smallDisk(t)
	if dir == "" {
		return nil
	}
	f := &full{t: t, store: filepath.Join(dir, "store"), disk: filler{t, filepath.Join(dir, "filler")}, his: NewHistory()}
	all := map[string]string{
		"storePathRootDir": f.store, "storePathCommitLog": filepath.Join(f.store, "commitlog"),
		"mappedFileSizeCommitLog": fmt.Sprint(diskLog), "mappedFileSizeConsumeQueue": "20000",
		"maxHashSlotNum": "1000", "maxIndexNum": "4000", "cleanResourceInterval": "200",
		"flushConsumeQueueThoroughInterval": "500", "flushConsumerOffsetInterval": "200", "cleanFileForciblyEnable": "false",
	}
	for k, v := range conf {
		all[k] = v
	}
	f.c = cluster.Merlin().StartT(t, cluster.Options{BrokerConf: all})
	t.Cleanup(func() { require.NoError(t, f.c.KillBroker()) }) // before the disk goes
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	require.NoError(t, probe.PutTopic(ctx, f.c.BrokerAddr(), "full", 2))
	require.NoError(t, probe.PutGroup(ctx, f.c.BrokerAddr(), group, 1, 16))
	return f
}

// send sends one message; the error is what the broker answered.
func (f *full) send(c *client, size int) error {
	f.seq++
	e := entry{key: fmt.Sprint("f", f.seq), body: []byte(strings.Repeat("x", size))}
	q := Queue{"full", int32(f.seq % 2)}
	f.his.Send(Sent{Key: e.key, Queue: q, Seq: f.seq, Sum: e.sum()})
	offset, phys, err := c.send(q, []entry{e})
	if err == nil {
		f.his.Ack(e.key, offset, phys[0])
	}
	return err
}

// until sends until the outcome is wanted.
func (f *full) until(what string, size int, want func(error) bool) error {
	f.t.Helper()
	c := newClient(f.c.BrokerAddr())
	defer c.close()
	for end := time.Now().Add(soon); ; {
		err := f.send(c, size)
		if want(err) {
			return err
		}
		if err != nil {
			require.ErrorIs(f.t, err, errRefused, "%s: the broker goes on answering", what)
			time.Sleep(20 * time.Millisecond)
		}
		require.True(f.t, time.Now().Before(end), "%s: still %v after %v", what, err, soon)
	}
}

func stored(err error) bool  { return err == nil }
func refused(err error) bool { return err != nil }

// verify reads everything twice and compares with what was acknowledged.
func (f *full) verify(what string) {
	f.t.Helper()
	found, bad := f.read(what)
	require.Empty(f.t, bad, what)
	all, _ := f.his.Acked()
	require.Equal(f.t, all, found, what)
}

// verifyBehind is verify while consume queues cannot be written: the newest
// messages are in the log and not seen yet.
func (f *full) verifyBehind(what string) {
	f.t.Helper()
	found, bad := f.read(what)
	for _, v := range bad {
		require.Equal(f.t, Lost, v.Kind, "%s: %v", what, v)
	}
	require.Positive(f.t, found, what)
}

func (f *full) read(what string) (int, []Violation) {
	f.t.Helper()
	c := newClient(f.c.BrokerAddr())
	defer c.close()
	var reads [2]Read
	for i := range reads {
		reads[i] = Read{}
		for id := range int32(2) {
			q := Queue{"full", id}
			r, err := c.readQueue(q)
			require.NoError(f.t, err, what)
			reads[i][q] = r
		}
	}
	require.Empty(f.t, Compare(reads[0], reads[1]), what)
	return f.his.Check(reads[1])
}

// settled waits until every acknowledged message can be seen.
func (f *full) settled() {
	f.t.Helper()
	all, _ := f.his.Acked()
	require.Eventually(f.t, func() bool {
		found, _ := f.read("settled")
		return found == all
	}, soon, 100*time.Millisecond)
}

// intact reads the metadata files as they lie on the disk.
func (f *full) intact(what string) {
	f.t.Helper()
	for _, name := range []string{"topics.json", "consumerOffset.json"} {
		data, err := os.ReadFile(filepath.Join(f.store, "config", name))
		require.NoError(f.t, err, what)
		var v struct {
			Topics  map[string]any             `json:"topicConfigTable"`
			Offsets map[string]map[int32]int64 `json:"offsetTable"`
		}
		require.NoError(f.t, probe.Unmarshal(data, &v), "%s: %s: %s", what, name, data)
		if name == "topics.json" {
			require.Contains(f.t, v.Topics, "full", what)
		} else {
			require.Positive(f.t, v.Offsets["full@"+group][0], what)
		}
	}
}

// log is what the broker printed.
func (f *full) log() string {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(f.c.StoreDir()), "broker.out"))
	require.NoError(f.t, err)
	return string(b)
}

// alive requires that the broker still runs and never panicked.
func (f *full) alive(what string) {
	f.t.Helper()
	_, runs := f.c.BrokerProcess()
	require.True(f.t, runs, "%s: the broker is gone:\n%s", what, f.log())
	for _, bad := range []string{"panic", "SIGBUS", "fatal error"} {
		require.NotContains(f.t, f.log(), bad, what)
	}
}

// TestFull_AboveTheMark: above diskSpaceWarningLevelRatio messages are refused with
// SERVICE_NOT_AVAILABLE and a log line that says how full the disk is, reads and
// small files go on, and messages are taken again when there is room.
func TestFull_AboveTheMark(t *testing.T) {
	f := startFull(t, nil)
	if f == nil {
		return
	}
	c := newClient(f.c.BrokerAddr())
	defer c.close()
	require.NoError(t, f.until("before", 1000, stored))
	f.disk.leave(diskBytes * 5 / 100)
	// Before the broker looks at the disk again, once a second, the next log file may
	// find no room.
	unavailable := fmt.Sprint(" ", int32(protocol.ServiceNotAvailable), " service not available now.")
	err := f.until("above the mark", 1000, func(err error) bool {
		return err != nil && strings.Contains(err.Error(), unavailable)
	})
	require.ErrorContains(t, err, "the broker's disk is full")
	require.Regexp(t, `level=ERROR msg="store: the disk is almost full, messages are refused" .*used=9[\d.]+% limit=90%`, f.log())
	f.verify("above the mark")
	require.NoError(t, c.commit(group, Queue{"full", 0}, 1))
	require.Eventually(t, func() bool {
		at, err := fileOffsets(f.store, []Queue{{"full", 0}})
		return err == nil && at[Queue{"full", 0}] == 1
	}, soon, 20*time.Millisecond, "offsets are written")
	f.intact("above the mark")
	f.disk.leave(diskBytes)
	require.NoError(t, f.until("room again", 1000, stored))
	require.Contains(t, f.log(), "store: there is room on the disk again")
	f.verify("room again")
	f.alive("at the end")
}

// TestFull_NoSpaceAtAll: the last byte of the disk is taken before anybody looks
// at its marks. No log file can be made and no small file written: messages are
// refused, everything else goes on, nothing that was written is lost, and it is
// over when there is room. Then the broker is killed while the disk is full.
func TestFull_NoSpaceAtAll(t *testing.T) {
	f := startFull(t, map[string]string{"cleanResourceInterval": "3600000"})
	if f == nil {
		return
	}
	c := newClient(f.c.BrokerAddr())
	defer c.close()
	require.NoError(t, f.until("before", 1000, stored))
	require.NoError(t, c.commit(group, Queue{"full", 0}, 1))
	require.Eventually(t, func() bool {
		at, err := fileOffsets(f.store, []Queue{{"full", 0}})
		return err == nil && at[Queue{"full", 0}] == 1
	}, soon, 20*time.Millisecond)

	f.disk.leave(0)
	err := f.until("no space", 30_000, refused)
	require.Regexp(t, ` (1 create mapped file failed|14 service not available now)`, err.Error())
	require.NoError(t, c.commit(group, Queue{"full", 0}, 2), "offsets are kept in memory")
	require.Eventually(t, func() bool { return strings.Contains(f.log(), "consumer offsets not written") }, soon, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if probe.PutTopic(ctx, f.c.BrokerAddr(), "not-written", 2) == nil {
		// The file had room that was left for it: it takes no more of the disk.
		data, err := os.ReadFile(filepath.Join(f.store, "config", "topics.json"))
		require.NoError(t, err)
		require.Contains(t, string(data), `"not-written"`, "a topic that cannot be written is refused")
	}
	f.intact("no space")
	f.verifyBehind("no space")
	f.alive("no space")
	require.Contains(t, f.log(), "no space left on device")

	f.disk.leave(diskBytes)
	require.NoError(t, f.until("room again", 30_000, stored))
	require.NoError(t, probe.PutTopic(ctx, f.c.BrokerAddr(), "written", 2))
	require.Eventually(t, func() bool {
		at, err := fileOffsets(f.store, []Queue{{"full", 0}})
		return err == nil && at[Queue{"full", 0}] == 2
	}, soon, 20*time.Millisecond, "offsets are written when there is room")
	f.settled()
	f.verify("room again")

	f.disk.leave(0)
	require.Error(t, f.until("no space again", 30_000, refused))
	require.NoError(t, f.c.KillBroker())
	f.disk.leave(diskBytes)
	require.NoError(t, f.c.StartBroker())
	f.verify("after a kill")
	f.intact("after a kill")
	require.NoError(t, f.until("after a kill", 1000, stored))
	f.alive("at the end")
}
