package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/store/vfs"
)

// plain is a file system whose files cannot be mapped.
type plain struct{ vfs.FS }

type plainFile struct{ vfs.File }

func (p plain) Open(path string, mode vfs.Mode) (vfs.File, error) {
	f, err := p.FS.Open(path, mode)
	if err != nil {
		return nil, err
	}
	return plainFile{f}, nil
}

// Consumers that are behind on several queues of the same part of the log get
// every message of theirs, whether the log is mapped or read in blocks.
func TestGet_ScatteredOverTheLog(t *testing.T) {
	const queues, each = 8, 700 // some 6 MB: more than what stays in memory
	pad := strings.Repeat("x", 1000)
	for name, fs := range map[string]vfs.FS{"mapped": vfs.OS(), "blocks": plain{vfs.OS()}} {
		t.Run(name, func(t *testing.T) {
			o := small(fs)
			o.StorePathRootDir, o.FileSizeCommitLog, o.FileSizeConsumeQueue = t.TempDir(), 4<<20, 20*1000
			s := open(t, o)
			for i := range each {
				ps := make([]*Put, queues)
				var done sync.WaitGroup
				for q := range ps {
					done.Add(1)
					ps[q] = &Put{Msg: msg("T", int32(q), fmt.Sprintf("%d/%d/%s", q, i, pad)), Done: func(*Put) { done.Done() }}
				}
				s.PutBatch(ps)
				done.Wait()
			}
			settled(t, s)
			var readers sync.WaitGroup
			for q := range int32(queues) {
				readers.Go(func() {
					got := readAll(t, s, "T", q, 0)
					if len(got) != each {
						t.Errorf("queue %d: %d messages", q, len(got))
						return
					}
					for i, b := range got {
						if b != fmt.Sprintf("%d/%d/%s", q, i, pad) {
							t.Errorf("queue %d: message %d is %.20q", q, i, b)
							return
						}
					}
				})
			}
			readers.Wait()
			require.False(t, t.Failed())
		})
	}
}
