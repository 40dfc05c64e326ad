package store

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/commitlog"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// A store that was written with another mappedFileSizeConsumeQueue does not open,
// and opens with all its messages when the setting is right again.
func TestSizes_AnotherQueueFileSizeIsRefused(t *testing.T) {
	for _, size := range []int64{20 * 16, 20 * 31, 20 * 33, 20 * 64} {
		for _, java := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, written by Java %t", size, java), func(t *testing.T) {
				mem := vfs.NewMem()
				o := small(mem)
				s := open(t, o)
				for i := range 100 {
					put(t, s, msg("T", int32(i%2), fmt.Sprint(i)))
				}
				require.NoError(t, s.Close())
				if java {
					b, err := vfs.ReadFile(mem, "/store/checkpoint")
					require.NoError(t, err)
					clear(b[40:])
					writeFile(t, mem, "/store/checkpoint", b)
				}
				o.FileSizeConsumeQueue = size
				_, err := Open(o)
				var bad *consumequeue.SizeError
				require.ErrorAs(t, err, &bad)
				require.ErrorContains(t, err, "/store/consumequeue/T/")
				require.ErrorContains(t, err, "mappedFileSizeConsumeQueue")
				s = open(t, small(mem))
				require.Len(t, readAll(t, s, "T", 0, 0), 50)
				require.EqualValues(t, 50, put(t, s, msg("T", 1, "next")).QueueOffset)
			})
		}
	}
}

func TestSizes_AnotherLogFileSizeIsRefused(t *testing.T) {
	for _, size := range []int64{8 << 10, 32 << 10} {
		mem := vfs.NewMem()
		o := small(mem)
		s := open(t, o)
		put(t, s, msg("T", 0, "a"))
		require.NoError(t, s.Close())
		o.FileSizeCommitLog = size
		_, err := Open(o)
		var bad *commitlog.CorruptError
		require.ErrorAs(t, err, &bad)
		require.ErrorContains(t, err, "mappedFileSizeCommitLog")
		require.Equal(t, []string{"a"}, readAll(t, open(t, small(mem)), "T", 0, 0))
	}
}

// A queue file that is too short is noticed, told, and made whole from the log,
// whichever it is, after a clean stop and after a kill.
func TestSizes_ShortQueueFilesAreBuiltAgain(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for _, file := range []int{0, 1, 3} {
			for _, length := range []int64{0, 7, 20 * 3, 20*32 - 1} {
				t.Run(fmt.Sprintf("closed %t, file %d, %d bytes", clean, file, length), func(t *testing.T) {
					mem := vfs.NewMem()
					o := small(mem)
					s := open(t, o)
					var want []string
					for i := range 100 {
						put(t, s, msg("T", 0, fmt.Sprint(i), "TAGS", "a"))
						put(t, s, msg("T", 1, "other"))
						want = append(want, fmt.Sprint(i))
					}
					settled(t, s)
					require.True(t, s.cleaner.do(func() { require.NoError(t, s.cleaner.checkpoint()) }))
					image := killed(t, mem)
					require.NoError(t, s.Close())
					if clean {
						image = mem
					}
					path := files(t, image, "/store/consumequeue/T/0")[file]
					f, err := image.Open(path, vfs.ReadWrite)
					require.NoError(t, err)
					require.NoError(t, f.Truncate(length))
					lines := &strings.Builder{}
					o.FS, o.Logger = image, slog.New(slog.NewTextHandler(lines, nil))
					s = open(t, o)
					require.Contains(t, lines.String(), "file="+path)
					require.Equal(t, want, readAll(t, s, "T", 0, 0))
					require.Len(t, readAll(t, s, "T", 1, 0), 100)
					require.EqualValues(t, 100, put(t, s, msg("T", 0, "next")).QueueOffset)
				})
			}
		}
	}
}
