package store

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/vfs"
)

// damageRig is a store of 400 messages in about 27 log files and of a topic that is
// deleted; three more messages come after it. It gives the disk that a kill leaves.
func damageRig(t *testing.T) (*vfs.Mem, []PutResult) {
	mem := vfs.NewMem()
	s := open(t, small(mem))
	var rs []PutResult
	put(t, s, msg("gone", 0, "x"))
	for i := range 400 {
		rs = append(rs, put(t, s, msg("T", 0, damageBody(i), "TAGS", "a")))
		if i == 200 {
			put(t, s, msg("gone", 0, "x"))
		}
	}
	settled(t, s)
	require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
	require.NoError(t, s.DeleteTopic("gone"))
	for i := range 3 {
		put(t, s, msg("T", 0, damageBody(400+i), "TAGS", "a"))
	}
	settled(t, s)
	require.Greater(t, len(s.clog.Segments()), 20)
	image := killed(t, mem)
	require.NoError(t, s.Close())
	return image, rs
}

func damageBody(i int) string { return fmt.Sprintf("%d.%s", i, strings.Repeat("b", 950)) }

// overwrite changes bytes of the log.
func overwrite(t testing.TB, mem *vfs.Mem, o Options, at int64, b []byte) {
	t.Helper()
	f, err := mem.Open("/store/commitlog/"+commitlog.FileName(at-at%o.FileSizeCommitLog), vfs.ReadWrite)
	require.NoError(t, err)
	_, err = f.WriteAt(b, at%o.FileSizeCommitLog)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// readable gives the bodies of a queue by offset, of those messages that can be read.
func readable(t testing.TB, s *Store, topic string, queue int32) map[int64]string {
	t.Helper()
	out := map[int64]string{}
	es, err := s.Entries(topic, queue, s.MinOffset(topic, queue), 1<<20)
	require.NoError(t, err)
	for _, e := range es {
		if e.Filler() {
			continue
		}
		var m message.Message
		rec, err := s.RecordAt(e.PhyOffset)
		if err != nil {
			continue
		}
		if _, err := message.Decode(rec, &m, true); err == nil && m.QueueOffset == e.QueueOffset {
			out[e.QueueOffset] = string(m.Body)
		}
	}
	return out
}

// One rotten byte in the oldest file takes one message, not the log behind it; also
// when a topic was deleted, after a kill, and when the whole log is read.
func TestDamage_OneRottenByte(t *testing.T) {
	for _, rebuilt := range []bool{false, true} {
		t.Run(fmt.Sprint("queues rebuilt ", rebuilt), func(t *testing.T) {
			mem, rs := damageRig(t)
			o := small(mem)
			overwrite(t, mem, o, rs[5].PhyOffset+300, []byte{'?'})
			if rebuilt {
				require.NoError(t, mem.RemoveAll("/store/consumequeue"))
			}
			lines := &strings.Builder{}
			o.Logger = slog.New(slog.NewTextHandler(lines, nil))
			s := open(t, o)
			got := readable(t, s, "T", 0)
			for i := range 403 {
				if i != 5 {
					require.True(t, damageBody(i) == got[int64(i)], i)
				}
			}
			require.Len(t, got, 402)
			require.NotContains(t, s.Topics(), "gone")
			require.EqualValues(t, 403, put(t, s, msg("T", 0, "next")).QueueOffset)
			if rebuilt {
				require.Equal(t, Damage{1, int64(rs[5].Bytes)}, s.Damage())
				require.Contains(t, lines.String(), fmt.Sprintf("offset=%d bytes=%d", rs[5].PhyOffset, rs[5].Bytes))
				require.Contains(t, lines.String(), "file="+s.clog.Path(rs[5].PhyOffset))
			} else {
				require.NotContains(t, lines.String(), "whole log")
			}
			f, err := mem.Open("/store/commitlog/"+commitlog.FileName(0), vfs.ReadOnly)
			require.NoError(t, err)
			var b [1]byte
			_, err = f.ReadAt(b[:], rs[5].PhyOffset+300)
			require.NoError(t, err)
			require.Equal(t, "?", string(b[:]), "the damage stays as it is")
		})
	}
}

// imitation is a record of another queue that names its own place.
func imitation(t testing.TB, at int64, size int) []byte {
	m := msg("victim", 0, strings.Repeat("i", size))
	m.QueueOffset, m.PhyOffset, m.StoreTimestamp = 0, at, 1000
	rec, err := message.Append(nil, &m)
	require.NoError(t, err)
	return rec
}

// Whatever part of a record is damaged, the records before and behind it stay, and
// a body that holds records which name their own places is not taken for records.
func TestDamage_OfEachPartOfARecord(t *testing.T) {
	const hurt = 7
	damage := map[string]struct {
		at, size int
		flip     byte
	}{
		"size":                {3, 1, 0x40},
		"size, much larger":   {0, 1, 0x40},
		"magic":               {5, 1, 0x10},
		"checksum":            {9, 1, 0x10},
		"place":               {33, 1, 0x10},
		"hosts":               {39, 1, 0x30},
		"length of the body":  {86, 1, 0x01},
		"length of the body+": {84, 1, 0x40},
		"body":                {300, 1, 0x01},
		"a sector of zeros":   {0, 512, 0},
		"all":                 {0, 4000, 0},
	}
	for name, d := range damage {
		for _, rebuilt := range []string{"", "/store/consumequeue/T/0", "/store/consumequeue"} {
			t.Run(name+", lost "+rebuilt, func(t *testing.T) {
				mem := vfs.NewMem()
				o := small(mem)
				s := open(t, o)
				put(t, s, msg("victim", 0, "first"))
				put(t, s, msg("victim", 0, "second"))
				var rs []PutResult
				for i := range 40 {
					at := s.clog.End()
					body := imitation(t, at+88, 200)
					for len(body) < 2000 { // one behind the other
						body = append(body, imitation(t, at+88+int64(len(body)), 150)...)
					}
					if !s.clog.Fits(len(body) + 200) {
						body = []byte("the last of a file")
					}
					rs = append(rs, put(t, s, msg("T", int32(i%2), string(body))))
				}
				settled(t, s)
				require.NoError(t, s.Close())
				b := make([]byte, min(d.size, rs[hurt].Bytes))
				for i := range b {
					if d.flip != 0 {
						b[i] = d.flip
					}
				}
				if d.flip != 0 {
					rec := make([]byte, 1)
					f, err := mem.Open("/store/commitlog/"+commitlog.FileName(0), vfs.ReadOnly)
					require.NoError(t, err)
					_, err = f.ReadAt(rec, rs[hurt].PhyOffset+int64(d.at))
					require.NoError(t, err)
					b[0] = rec[0] ^ d.flip
				}
				overwrite(t, mem, o, rs[hurt].PhyOffset+int64(d.at), b)
				switch rebuilt {
				case "/store/consumequeue":
					require.NoError(t, mem.RemoveAll(rebuilt))
				case "/store/consumequeue/T/0":
					f, err := mem.Open(files(t, mem, rebuilt)[0], vfs.ReadWrite)
					require.NoError(t, err)
					require.NoError(t, f.Truncate(0))
				}
				for round := range 2 {
					s = open(t, o)
					require.Equal(t, []string{"first", "second"}, readAll(t, s, "victim", 0, 0))
					lost := 0
					for i, r := range rs {
						if i == hurt {
							continue
						}
						if readable(t, s, "T", int32(i%2))[r.QueueOffset] == "" {
							lost++
						}
					}
					if rebuilt == "/store/consumequeue" && d.size > 1 {
						// Neither a queue nor the record says where the next begins: the
						// rest of its file is given up, rather than believe its bytes.
						require.LessOrEqual(t, lost, 11)
						require.Equal(t, round == 0, s.Damage().Pieces > 0)
					} else {
						require.Zero(t, lost)
					}
					require.NoError(t, s.Close())
				}
			})
		}
	}
}

// What lies behind a torn tail is put aside, not deleted, and where no broker takes
// it for a part of the log.
func TestDamage_CutFilesArePutAside(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	s := open(t, o)
	var rs []PutResult
	for i := range 60 {
		rs = append(rs, put(t, s, msg("T", 0, damageBody(i))))
	}
	settled(t, s)
	image := killed(t, mem)
	require.NoError(t, s.Close())
	o.FS = image
	overwrite(t, image, o, rs[20].PhyOffset, make([]byte, 100)) // no checkpoint has said that it is durable
	j := &journal{}
	o.Logger = j.logger()
	s = open(t, o)
	require.Len(t, readAll(t, s, "T", 0, 0), 20)
	es, err := image.ReadDir("/store/cut")
	require.NoError(t, err)
	var names []string
	rest := fmt.Sprintf("%s-%d.1", commitlog.FileName(rs[20].PhyOffset/o.FileSizeCommitLog*o.FileSizeCommitLog), rs[20].PhyOffset%o.FileSizeCommitLog)
	for _, e := range es {
		if names = append(names, e.Name); e.Name != rest {
			require.Equal(t, o.FileSizeCommitLog, e.Size)
		}
	}
	require.Equal(t, []string{rest, "00000000000000032768.1", "00000000000000049152.1"}, names)
	kept, err := vfs.ReadFile(image, "/store/cut/"+rest)
	require.NoError(t, err)
	from := kept[rs[21].PhyOffset-rs[20].PhyOffset:]
	var m message.Message
	_, err = message.Decode(from[:rs[21].Bytes], &m, true)
	require.NoError(t, err)
	require.Equal(t, damageBody(21), string(m.Body))
	require.Contains(t, j.String(), "size="+fmt.Sprint(len(kept)))
	es, err = image.ReadDir("/store/commitlog")
	require.NoError(t, err)
	for _, e := range es {
		require.Len(t, e.Name, 20)
	}
}

// Where nothing can be put aside a torn tail is cut all the same.
func TestDamage_NothingCanBePutAside(t *testing.T) {
	for _, fault := range []error{syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EDQUOT, syscall.ENOSPC} {
		t.Run(fault.Error(), func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			var rs []PutResult
			for i := range 10 {
				rs = append(rs, put(t, s, msg("T", 0, damageBody(i))))
			}
			settled(t, s)
			image := killed(t, mem)
			require.NoError(t, s.Close())
			overwrite(t, image, o, rs[9].PhyOffset+200, make([]byte, 100))
			o.FS = &vfs.Inject{FS: image, Fail: func(op vfs.Op) error {
				if strings.HasPrefix(op.Path, "/store/cut") {
					return fault
				}
				return nil
			}}
			j := &journal{}
			o.Logger = j.logger()
			s = open(t, o)
			require.Len(t, readAll(t, s, "T", 0, 0), 9)
			require.Contains(t, j.String(), "it cannot be put aside")
			require.NoError(t, s.Close())
		})
	}
}

// Newest files of the log that are gone take their messages, and no offset is given
// out twice.
func TestDamage_NewestFilesOfTheLogAreMissing(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("closed ", clean), func(t *testing.T) {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			for i := range 60 {
				put(t, s, msg("T", 0, damageBody(i)))
			}
			settled(t, s)
			require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
			segs, end := s.clog.Segments(), s.clog.Max()
			image := killed(t, mem)
			require.NoError(t, s.Close())
			if clean {
				image = mem
			}
			o.FS = image
			for _, base := range segs[len(segs)-2:] {
				require.NoError(t, image.Remove("/store/commitlog/"+commitlog.FileName(base)))
			}
			last := ""
			for range 2 {
				s = open(t, o)
				got := readable(t, s, "T", 0)
				require.Contains(t, got, int64(0))
				require.NotContains(t, got, int64(59))
				if last != "" {
					require.Contains(t, got, int64(60))
					require.Equal(t, last, got[60])
				} else {
					last = "next"
					r := put(t, s, msg("T", 0, last))
					require.EqualValues(t, 60, r.QueueOffset)
					require.GreaterOrEqual(t, r.PhyOffset, end)
				}
				settled(t, s)
				require.NoError(t, s.Close())
			}
			require.NoError(t, image.RemoveAll("/store/consumequeue"))
			s = open(t, o)
			require.Equal(t, "next", readable(t, s, "T", 0)[60])
		})
	}
}

// A checkpoint that is gone or damaged costs reading, nothing else.
func TestDamage_Checkpoint(t *testing.T) {
	mem, _ := damageRig(t)
	for at := range sectorSize {
		if at > 64 && at < floorAt || at > floorAt+floorLength+8 || at%3 != 0 {
			continue
		}
		image := mem.CrashClone(nil)
		b, err := vfs.ReadFile(image, "/store/checkpoint")
		require.NoError(t, err)
		b[at] ^= 0x21
		writeFile(t, image, "/store/checkpoint", b)
		s := open(t, small(image))
		require.Len(t, readable(t, s, "T", 0), 403, at)
		require.NotContains(t, s.Topics(), "gone")
		require.NoError(t, s.Close())
	}
}

// What Java brokers newer than 5.3 keep in the checkpoint stays, and one that is
// rewritten by a Java broker ends the floor.
func TestCheckpoint_FloorAndForeignBytes(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, small(mem))
	put(t, s, msg("T", 0, "a"))
	settled(t, s)
	end := s.clog.Max()
	require.NoError(t, s.Close())
	cp, err := loadCheckpoint(mem, "/store/checkpoint")
	require.NoError(t, err)
	require.True(t, cp.known)
	require.Equal(t, end, cp.floor)
	b, err := vfs.ReadFile(mem, "/store/checkpoint")
	require.NoError(t, err)
	require.Len(t, b, checkpointSize)
	foreign := slices.Clone(b)
	binary.BigEndian.PutUint64(foreign[40:], 0x1122334455667788)
	foreign[4000] = 9
	writeFile(t, mem, "/store/checkpoint", foreign)
	s = open(t, small(mem))
	put(t, s, msg("T", 0, "b"))
	require.NoError(t, s.Close())
	b, err = vfs.ReadFile(mem, "/store/checkpoint")
	require.NoError(t, err)
	require.EqualValues(t, 0x1122334455667788, binary.BigEndian.Uint64(b[40:]))
	require.EqualValues(t, 9, b[4000])
	binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)+1) // Java stores a message
	writeFile(t, mem, "/store/checkpoint", b)
	cp, err = loadCheckpoint(mem, "/store/checkpoint")
	require.NoError(t, err)
	require.False(t, cp.known)
	s = open(t, small(mem))
	require.Equal(t, []string{"a", "b"}, readAll(t, s, "T", 0, 0))
}

// A checkpoint of another store, also with a floor, makes nothing go away.
func TestDamage_FilesOfAnotherStore(t *testing.T) {
	other := vfs.NewMem()
	s := open(t, small(other))
	for i := range 7 {
		put(t, s, msg("T", 0, fmt.Sprint("other", i)))
		put(t, s, msg("elsewhere", 3, fmt.Sprint("other", i)))
	}
	require.NoError(t, s.Close())
	far := vfs.NewMem()
	o := small(far)
	s = open(t, o)
	for i := range 900 {
		put(t, s, msg("T", 0, damageBody(i)))
	}
	require.NoError(t, s.Close())
	for _, from := range []*vfs.Mem{other, far} {
		for _, names := range [][]string{{"checkpoint"}, {"queueends"}, {"checkpoint", "queueends"}} {
			for _, clean := range []bool{true, false} {
				mem, _ := damageRig(t)
				if clean {
					require.NoError(t, open(t, small(mem)).Close())
				}
				for _, name := range names {
					b, err := vfs.ReadFile(from, "/store/"+name)
					require.NoError(t, err)
					writeFile(t, mem, "/store/"+name, b)
				}
				for range 2 {
					s := open(t, small(mem))
					require.Len(t, readable(t, s, "T", 0), 403, "%v closed %t", names, clean)
					require.NotContains(t, s.Topics(), "gone")
					require.Less(t, len(s.clog.Segments()), 40)
					require.NoError(t, s.Close())
				}
			}
		}
	}
}

// The newest file of a store that was closed is zeroed: its messages are lost, with a
// line, and their offsets are not given out again.
func TestDamage_NewestFileIsZeroed(t *testing.T) {
	for _, clean := range []bool{true, false} {
		mem := vfs.NewMem()
		o := small(mem)
		s := open(t, o)
		var last PutResult
		for i := range 60 {
			last = put(t, s, msg("T", 0, damageBody(i)))
		}
		settled(t, s)
		require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
		image := killed(t, mem)
		require.NoError(t, s.Close())
		if clean {
			image = mem
		}
		base := last.PhyOffset - last.PhyOffset%o.FileSizeCommitLog
		overwrite(t, image, o, base, make([]byte, o.FileSizeCommitLog))
		lines := &strings.Builder{}
		o.FS, o.Logger = image, slog.New(slog.NewTextHandler(lines, nil))
		s = open(t, o)
		require.Contains(t, lines.String(), "file=/store/commitlog/"+commitlog.FileName(base))
		require.NotZero(t, s.Damage().Pieces)
		r := put(t, s, msg("T", 0, "next"))
		require.EqualValues(t, 60, r.QueueOffset)
		require.GreaterOrEqual(t, r.PhyOffset, last.PhyOffset)
		require.Equal(t, damageBody(0), readable(t, s, "T", 0)[0])
	}
}

// Files of a consume queue that are gone are noticed, the first as well as the last.
func TestDamage_MissingQueueFiles(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for _, file := range []int{0, 1, 3} {
			mem := vfs.NewMem()
			o := small(mem)
			s := open(t, o)
			for i := range 100 {
				put(t, s, msg("T", 0, fmt.Sprint(i)))
			}
			settled(t, s)
			require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
			image := killed(t, mem)
			require.NoError(t, s.Close())
			if clean {
				image = mem
			}
			require.NoError(t, image.Remove(files(t, image, "/store/consumequeue/T/0")[file]))
			o.FS = image
			s = open(t, o)
			require.Len(t, readAll(t, s, "T", 0, 0), 100)
			require.EqualValues(t, 100, put(t, s, msg("T", 0, "next")).QueueOffset)
		}
	}
}
