package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// journal is a log that a test reads.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// sources are the ways in which old records are read.
var sources = map[string]func(vfs.FS) vfs.FS{
	"mapped": func(fs vfs.FS) vfs.FS { return fs },
	"blocks": func(fs vfs.FS) vfs.FS { return plain{fs} },
}

// old is a store of two queues whose records lie in turn, closed and opened again so
// that nothing of them is in its memory. poke may change the bytes of record n of
// queue 0 before.
func old(t *testing.T, fs vfs.FS, wrap func(vfs.FS) vfs.FS, each int, poke map[int]func(rec []byte)) (*Store, *journal, []PutResult) {
	o := small(fs)
	o.FileSizeCommitLog, o.FileSizeConsumeQueue = 1<<20, 20*100
	s := open(t, o)
	var where []PutResult
	for i := range each {
		where = append(where, put(t, s, msg("T", 0, fmt.Sprintf("%d/%0300d", i, 0), "KEYS", fmt.Sprint(i))))
		put(t, s, msg("T", 1, fmt.Sprintf("%d/%0300d", i, 0)))
	}
	require.NoError(t, s.Close())
	for i, change := range poke {
		at := where[i].PhyOffset
		f, err := fs.Open(filepath.Join("/store/commitlog", commitlog.FileName(at-at%o.FileSizeCommitLog)), vfs.ReadWrite)
		require.NoError(t, err)
		rec := make([]byte, where[i].Bytes)
		require.NoError(t, vfs.ReadFull(f, rec, at%o.FileSizeCommitLog))
		change(rec)
		_, err = f.WriteAt(rec, at%o.FileSizeCommitLog)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	j := &journal{}
	o.FS, o.Logger = wrap(fs), j.logger()
	return open(t, o), j, where
}

// consume reads queue 0 as a consumer does and gives the numbers of its messages. It
// fails when an answer neither moves on nor gives anything.
func consume(t *testing.T, s *Store, filter Filter) (got []string, alone map[string]bool) {
	t.Helper()
	alone = map[string]bool{}
	var r GetResult
	for at := int64(0); ; at = r.Next {
		s.Get(&GetRequest{Topic: "T", Offset: at, MaxMsgs: 32, Filter: filter}, &r)
		switch r.Status {
		case OffsetOverflowOne:
			return got, alone
		case Found, NoMatchedMessage, MessageWasRemoving:
			require.Greater(t, r.Next, at, r.Status)
		default:
			require.Fail(t, "no end", "%v at %d: %v", r.Status, at, r.Err)
		}
		for _, rec := range r.Records {
			for len(rec) > 0 {
				var m message.Message
				n, err := message.Decode(rec, &m, false)
				require.NoError(t, err)
				name, _, _ := strings.Cut(string(m.Body), "/")
				got, rec = append(got, name), rec[n:]
				alone[name] = r.Count == 1
			}
		}
	}
}

func numbers(n int, without ...int) []string {
	var out []string
	for i := range n {
		if len(without) == 0 || i != without[0] {
			out = append(out, fmt.Sprint(i))
		} else {
			without = without[1:]
		}
	}
	return out
}

// A byte that rots in a body is served as Java serves it, and not in silence; what
// lies beside it is not touched by it.
func TestDamage_RottenBody(t *testing.T) {
	const each, bad = 200, 77
	for name, wrap := range sources {
		t.Run(name, func(t *testing.T) {
			s, j, where := old(t, vfs.NewMem(), wrap, each, map[int]func([]byte){
				bad: func(rec []byte) { rec[len(rec)/2] ^= 0x40 },
			})
			got, alone := consume(t, s, nil)
			require.Equal(t, numbers(each), got)
			require.True(t, alone[fmt.Sprint(bad)], "a client may not get past it")
			require.EqualValues(t, 1, s.Faults().Rotten)
			require.Contains(t, j.String(), "does not fit its checksum")
			require.Contains(t, j.String(), fmt.Sprintf("file=%s offset=%d", s.clog.Path(where[bad].PhyOffset), where[bad].PhyOffset))
			require.Contains(t, j.String(), "topic=T")
			// The others are known to be right by now, this one never is.
			consume(t, s, nil)
			require.EqualValues(t, 2, s.Faults().Rotten)
			_, err := s.RecordAt(where[bad].PhyOffset)
			require.NoError(t, err)
			require.EqualValues(t, 3, s.Faults().Rotten)
			require.LessOrEqual(t, strings.Count(j.String(), "checksum"), 3)
		})
	}
}

// With enabledAppendPropCRC a byte that rots anywhere in a record shows; without it a
// property that looks like its checksum says nothing.
func TestDamage_RottenProperty(t *testing.T) {
	for _, on := range []bool{true, false} {
		mem := vfs.NewMem()
		o := small(mem)
		o.EnabledAppendPropCRC, o.CheckCRCOnRecoverOff = on, true
		s := open(t, o)
		r := put(t, s, msg("T", 0, "0/x", "KEYS", "kkkkkkkk"))
		put(t, s, msg("T", 0, "1/y", message.PropertyCRC32, "0123456789"))
		require.NoError(t, s.Close())
		f, err := mem.Open("/store/commitlog/"+commitlog.FileName(0), vfs.ReadWrite)
		require.NoError(t, err)
		rec := make([]byte, r.Bytes)
		require.NoError(t, vfs.ReadFull(f, rec, r.PhyOffset))
		_, err = f.WriteAt([]byte("K"), r.PhyOffset+int64(bytes.Index(rec, []byte("kkkk"))))
		require.NoError(t, err)
		s = open(t, o)
		got, _ := consume(t, s, nil)
		require.Equal(t, numbers(2), got)
		want := map[bool]int64{true: 1}[on]
		require.Equal(t, want, s.Faults().Rotten, "with checksums of records: %v", on)
		require.NoError(t, s.Close())
	}
}

// What is no record any more is left out: it alone, with a line.
func TestDamage_GarbledHead(t *testing.T) {
	const each = 200
	garble := map[string]func(rec []byte){
		"size":         func(rec []byte) { rec[0] = 0x7F },
		"size 0":       func(rec []byte) { clear(rec[:4]) },
		"magic":        func(rec []byte) { rec[5] ^= 1 },
		"place":        func(rec []byte) { rec[30] ^= 1 },
		"body length":  func(rec []byte) { rec[84] ^= 0x80 },
		"body longer":  func(rec []byte) { rec[86] ^= 1 },
		"topic length": func(rec []byte) { rec[88+binary.BigEndian.Uint32(rec[84:])] ^= 2 },
		"zeros":        func(rec []byte) { clear(rec) },
		"ones": func(rec []byte) {
			for i := range rec {
				rec[i] = 0xFF
			}
		},
	}
	for name, wrap := range sources {
		for what, change := range garble {
			t.Run(name+"/"+what, func(t *testing.T) {
				s, j, where := old(t, vfs.NewMem(), wrap, each, map[int]func([]byte){0: change, 77: change, each / 2: change})
				got, _ := consume(t, s, nil)
				require.Equal(t, numbers(each, 0, 77, each/2), got)
				require.EqualValues(t, 3, s.Faults().Records)
				require.Contains(t, j.String(), "damaged and left out")
				require.Contains(t, j.String(), fmt.Sprintf("offset=%d", where[0].PhyOffset))
				_, err := s.RecordAt(where[77].PhyOffset)
				require.ErrorIs(t, err, ErrNoRecord)
				for at := range int64(each) { // no search is led astray
					ts, err := s.StoreTimeAt("T", 0, at)
					require.NoError(t, err)
					if ts >= 0 {
						lower, err := s.OffsetByTime("T", 0, ts, false)
						require.NoError(t, err)
						require.LessOrEqual(t, lower, at)
						upper, err := s.OffsetByTime("T", 0, ts, true)
						require.NoError(t, err)
						require.GreaterOrEqual(t, upper, at)
					}
				}
			})
		}
	}
}

// A byte of the queue or the offset in a record's head rots: the message is served as
// it was sent, with a line. An entry that leads to another message serves none.
func TestDamage_MisplacedRecord(t *testing.T) {
	const each, bad = 200, 77
	for name, wrap := range sources {
		for what, change := range map[string]func(rec []byte){
			"queue":  func(rec []byte) { rec[12] ^= 0x40 },
			"offset": func(rec []byte) { rec[22] ^= 0x40 },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				s, j, where := old(t, vfs.NewMem(), wrap, each, map[int]func([]byte){bad: change})
				got, _ := consume(t, s, nil)
				require.Equal(t, numbers(each), got)
				var r GetResult
				s.Get(&GetRequest{Topic: "T", Offset: bad, MaxMsgs: 1}, &r)
				require.Equal(t, Found, r.Status)
				_, id, offset := message.Place(r.Records[0])
				require.EqualValues(t, 0, id)
				require.EqualValues(t, bad, offset)
				r.Release()
				require.Equal(t, Faults{Misplaced: 2}, s.Faults())
				require.Contains(t, j.String(), fmt.Sprintf("file=%s offset=%d", s.clog.Path(where[bad].PhyOffset), where[bad].PhyOffset))
			})
		}
		for what, change := range map[string]func(rec []byte){
			"queue and offset": func(rec []byte) { rec[12] ^= 0x40; rec[22] ^= 0x40 },
			"topic":            func(rec []byte) { rec[89+binary.BigEndian.Uint32(rec[84:])] = 'U' },
			"offset and body":  func(rec []byte) { rec[22] ^= 0x40; rec[100] ^= 1 },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				s, j, _ := old(t, vfs.NewMem(), wrap, each, map[int]func([]byte){bad: change})
				got, _ := consume(t, s, nil)
				require.Equal(t, numbers(each, bad), got)
				require.Equal(t, Faults{Records: 1}, s.Faults())
				require.Contains(t, j.String(), foreignRecord)
			})
		}
		for what, from := range map[string]struct {
			queue string
			entry int64
		}{"of the queue": {"0", bad - 9}, "of another queue": {"1", bad}} {
			t.Run(name+" an entry "+what, func(t *testing.T) {
				mem := vfs.NewMem()
				s, j, _ := old(t, mem, wrap, each, nil)
				src, err := mem.Open("/store/consumequeue/T/"+from.queue+"/00000000000000000000", vfs.ReadOnly)
				require.NoError(t, err)
				e := make([]byte, 20)
				require.NoError(t, vfs.ReadFull(src, e, from.entry*20))
				f, err := mem.Open("/store/consumequeue/T/0/00000000000000000000", vfs.ReadWrite)
				require.NoError(t, err)
				_, err = f.WriteAt(e, bad*20)
				require.NoError(t, err)
				got, _ := consume(t, s, nil)
				require.Equal(t, numbers(each, bad), got)
				require.Contains(t, j.String(), foreignRecord)
			})
		}
	}
}

// An entry of a consume queue that cannot be right costs its message only.
func TestDamage_QueueEntry(t *testing.T) {
	const each, bad = 200, 57
	be := func(phy int64, size int32) []byte { return consumequeue.Entry{PhyOffset: phy, Size: size}.Append(nil) }
	for what, entry := range map[string][]byte{
		"zeros": make([]byte, 20), "ones": bytes.Repeat([]byte{0xFF}, 20), "beyond the log": be(1<<40, 400),
		"negative": be(-5, 400), "no size": be(0, 0), "negative size": be(0, -9), "huge": be(0, 1<<30),
		"over the end of a file": be(1<<20-200, 400), "no record": be(13, 400),
	} {
		t.Run(what, func(t *testing.T) {
			mem := vfs.NewMem()
			s, _, _ := old(t, mem, sources["mapped"], each, nil)
			f, err := mem.Open("/store/consumequeue/T/0/00000000000000000000", vfs.ReadWrite)
			require.NoError(t, err)
			_, err = f.WriteAt(entry, bad*20)
			require.NoError(t, err)
			got, _ := consume(t, s, nil)
			require.Equal(t, numbers(each, bad), got)
			require.EqualValues(t, 1, s.Faults().Records)
		})
	}
}

// A log file that is cut while it is mapped: what is gone is an error, the process
// lives, and what is left is served.
func TestMapped_FileCutUnderIt(t *testing.T) {
	if _, err := os.Stat("/proc/self/maps"); err != nil {
		t.Skip("no mappings here")
	}
	const each = 3000
	o := small(vfs.OS())
	o.StorePathRootDir, o.FileSizeCommitLog, o.FileSizeConsumeQueue = t.TempDir(), 1<<20, 20*1000
	s := open(t, o)
	for i := range each {
		put(t, s, msg("T", 0, fmt.Sprintf("%d/%01000d", i, 0)))
	}
	settled(t, s)
	got, _ := consume(t, s, nil) // everything is mapped now
	require.Equal(t, numbers(each), got)

	const left = 100 << 10
	require.NoError(t, os.Truncate(filepath.Join(o.StorePathRootDir, "commitlog", commitlog.FileName(0)), left))
	var r GetResult
	at := int64(0)
	for ; ; at = r.Next {
		s.Get(&GetRequest{Topic: "T", Offset: at, MaxMsgs: 32}, &r)
		if r.Status != Found {
			break
		}
	}
	require.Equal(t, ReadFailed, r.Status)
	require.Equal(t, at, r.Next)
	require.ErrorContains(t, r.Err, commitlog.FileName(0))
	_, err := s.RecordAt(0)
	require.NoError(t, err)
	es, err := s.Entries("T", 0, at, 1)
	require.NoError(t, err)
	require.Greater(t, es[0].PhyOffset+int64(es[0].Size), int64(left))
	es, err = s.Entries("T", 0, at-1, 1)
	require.NoError(t, err)
	require.LessOrEqual(t, es[0].PhyOffset+int64(es[0].Size), int64(left))
	s.Get(&GetRequest{Topic: "T", Offset: each / 2, MaxMsgs: 32}, &r)
	require.Equal(t, Found, r.Status, "another file")
	r.Release()
}
