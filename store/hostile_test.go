package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// killed is the disk after kill -9: all that was written is there.
func killed(t testing.TB, mem *vfs.Mem) *vfs.Mem {
	t.Helper()
	require.NoError(t, mem.SyncFS("/"))
	return mem.CrashClone(nil)
}

// hostileProperties are properties that look like sectors that were never written.
func hostileProperties() map[string][]byte {
	names := []byte{}
	for range 400 { // so often that a sector of nothing else is among them
		names = message.AppendProperty(names, "\x00", "\x00")
	}
	crc := message.AppendProperty(nil, message.PropertyCRC32, "0123456789")
	return map[string][]byte{
		"a value of 1,100 NULs":         message.AppendProperty(nil, "a", strings.Repeat("\x00", 1100)),
		"names of NUL":                  names,
		"the last byte":                 append(message.AppendProperty(nil, "a", "b"), 0),
		"a checksum property":           crc,
		"NULs and a checksum property":  append(message.AppendProperty(nil, "a", strings.Repeat("\x00", 1100)), crc...),
		"a checksum property, cut":      append(message.AppendProperty(nil, "a", "b"), crc[:len(crc)-1]...),
		"as many NULs as there is room": message.AppendProperty(nil, "a", strings.Repeat("\x00", 32700)),
	}
}

// What a client sends must not look like a torn write: nothing behind it is lost
// when the broker is killed, nor it itself.
func TestHostile_PropertiesAreNoTornWrite(t *testing.T) {
	for name, props := range hostileProperties() {
		for _, flush := range []FlushDiskType{SyncFlush, AsyncFlush} {
			t.Run(fmt.Sprint(name, ", ", flush), func(t *testing.T) {
				t.Parallel()
				mem := vfs.NewMem()
				o := small(mem)
				o.FileSizeCommitLog, o.FlushDiskType = 256<<10, flush
				s := open(t, o)
				var want []string
				send := func(n int, props []byte) {
					for range n {
						body := fmt.Sprint("m", len(want))
						m := msg("T", 0, body)
						m.Properties = props
						put(t, s, m)
						want = append(want, body)
					}
				}
				send(10, nil)
				send(1, props)
				send(1000, nil)
				image := killed(t, mem)
				require.NoError(t, s.Close())
				o.FS = image
				s = open(t, o)
				require.Len(t, readAll(t, s, "T", 0, 0), len(want))
				require.Equal(t, want, readAll(t, s, "T", 0, 0))
				require.Zero(t, s.Damage())
			})
		}
	}
}

// javaRecords writes a commit log as Java brokers do, and the checkpoint and abort
// file that a killed one leaves.
func javaRecords(t testing.TB, mem *vfs.Mem, o Options, ms []message.Message) {
	t.Helper()
	require.NoError(t, mem.MkdirAll("/store"))
	l, err := commitlog.Open(commitlog.Options{FS: mem, Dir: "/store/commitlog", SegmentSize: o.FileSizeCommitLog, MaxRecord: 1 << 20})
	require.NoError(t, err)
	require.NoError(t, l.Roll())
	next := map[int32]int64{}
	for i := range ms {
		m := &ms[i]
		rec, err := message.Append(nil, m)
		require.NoError(t, err)
		if !l.Fits(len(rec)) {
			require.NoError(t, l.Roll())
		}
		message.PatchOffsets(rec, next[m.QueueID], l.End(), m.StoreTimestamp)
		next[m.QueueID]++
		require.NoError(t, l.Append(rec))
	}
	_, err = l.Flush()
	require.NoError(t, err)
	l.Close()
	writeFile(t, mem, "/store/abort", []byte("31415"))
}

func writeFile(t testing.TB, mem *vfs.Mem, path string, b []byte) {
	t.Helper()
	f, err := mem.Open(path, vfs.Create)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(0))
	_, err = f.WriteAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// A store that a killed Java broker left opens with all that Java would find,
// whatever the properties are, and so it does when Merlin is killed after it.
func TestHostile_StoreOfAKilledJavaBroker(t *testing.T) {
	for name, props := range hostileProperties() {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			o.FileSizeCommitLog = 256 << 10
			var ms []message.Message
			var want []string
			for i := range 300 {
				m := msg("T", 0, fmt.Sprint("m", i))
				if m.StoreTimestamp = 1_700_000_000_000 + int64(i); i == 10 {
					m.Properties = props
				}
				ms, want = append(ms, m), append(want, string(m.Body))
			}
			javaRecords(t, mem, o, ms)
			for range 3 { // the second and third time after a killed Merlin
				s := open(t, o)
				require.Equal(t, want, readAll(t, s, "T", 0, 0))
				put(t, s, msg("T", 0, fmt.Sprint("m", len(want))))
				want = append(want, fmt.Sprint("m", len(want)))
				image := killed(t, mem)
				require.NoError(t, s.Close())
				mem, o.FS = image, image
			}
		})
	}
}

// A record of Merlin's own that a power failure tore is no message, also when its
// properties hold zeros.
func TestHostile_TornIsStillTorn(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.FlushDiskType = SyncFlush
	s := open(t, o)
	put(t, s, msg("T", 0, "whole"))
	m := msg("T", 0, "torn")
	m.Properties = message.AppendProperty(message.AppendProperty(nil, "a", strings.Repeat("\x00", 1100)), "b", strings.Repeat("x", 1100))
	r := put(t, s, m)
	image := killed(t, mem)
	require.NoError(t, s.Close())
	f, err := image.Open("/store/commitlog/"+commitlog.FileName(0), vfs.ReadWrite)
	require.NoError(t, err)
	at := (r.PhyOffset + int64(r.Bytes) - 600) / 512 * 512
	_, err = f.WriteAt(make([]byte, 512), at)
	require.NoError(t, err)
	o.FS = image
	s = open(t, o)
	require.Equal(t, []string{"whole"}, readAll(t, s, "T", 0, 0))
}
