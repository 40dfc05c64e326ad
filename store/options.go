package store

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/protocol/message"
	"github.com/merlinmq/merlin/store/consumequeue"
	"github.com/merlinmq/merlin/store/vfs"
)

// FlushDiskType is the flush mode (flushDiskType).
type FlushDiskType uint8

// Flush modes.
const (
	// AsyncFlush answers a put when it is written; a crash of the machine may
	// lose the last half second.
	AsyncFlush FlushDiskType = iota
	// SyncFlush answers a put when it is durable.
	SyncFlush
)

// DefaultDelayLevels is the default of MessageDelayLevel.
const DefaultDelayLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// Options are the settings of MessageStoreConfig that the store reads, and the
// seams to disk and time. Zero means the default, which stands at the field;
// settings that are on by default are named by their opposite.
type Options struct {
	FS     vfs.FS       // the machine's
	Clock  clock.Clock  // the machine's
	Logger *slog.Logger // nothing is logged
	// Arrived is called when a queue has a new entry that Get can read, from the
	// dispatcher: it must not block.
	Arrived func(Arrival)
	// Recovered is told of each message that a recovery reads, in the order of
	// the log, of some more than once. It is called by Open; the message and its
	// bytes are valid during the call. It may be nil.
	Recovered func(*message.Message)
	// Dispatchers build further things from the log, after consume queues and index.
	Dispatchers []Dispatcher
	// Quorum is how far other brokers have copied the log. It may be nil: then nobody
	// is waited for.
	Quorum Quorum

	// TruncateAt, unless 0, makes Open cut the log at that place, where a record has to
	// end: what lies behind is put aside, with a line, as what a crash tore. A copy that
	// has more than the broker that it follows from now on is opened like that.
	TruncateAt int64

	StorePathRootDir     string // required
	StorePathCommitLog   string // root/commitlog; one directory
	FlushDiskType        FlushDiskType
	FileSizeCommitLog    int64 // mappedFileSizeCommitLog, 1 GiB
	FileSizeConsumeQueue int64 // mappedFileSizeConsumeQueue, 6,000,000; a multiple of 20

	MaxHashSlotNum      int32 // 5,000,000
	MaxIndexNum         int32 // 20,000,000
	MessageIndexDisable bool  // messageIndexEnable=false

	MaxMessageSize          int    // 4 MiB
	MessageDelayLevel       string // DefaultDelayLevels
	EnabledAppendPropCRC    bool
	CheckCRCOnRecoverOff    bool // checkCRCOnRecover=false
	OSPageCacheBusyTimeout  time.Duration
	FlushIntervalCommitLog  time.Duration // 500 ms
	FlushLeastPages         int           // flushCommitLogLeastPages, 4
	FlushThoroughInterval   time.Duration // flushCommitLogThoroughInterval, 10 s
	SyncFlushTimeout        time.Duration // 5 s
	FlushIntervalQueues     time.Duration // flushIntervalConsumeQueue, 1 s
	CheckpointInterval      time.Duration // flushConsumeQueueThoroughInterval, 60 s
	CheckpointBytes         int64         // also after so much log, 1 GiB
	MaxTransferBytesMemory  int           // maxTransferBytesOnMessageInMemory, 256 KiB
	MaxTransferCountMemory  int           // maxTransferCountOnMessageInMemory, 32
	MaxTransferBytesDisk    int           // maxTransferBytesOnMessageInDisk, 64 KiB
	MaxTransferCountDisk    int           // maxTransferCountOnMessageInDisk, 8
	MaxFilterMessageSize    int           // bytes of consume queue scanned by a read, 16,000
	AccessInMemoryMaxRatio  int           // accessMessageInMemoryMaxRatio, 40 %
	PhysicalMemory          int64         // bytes, of the machine
	MaxMsgsNumBatch         int           // 64
	FileReservedTime        time.Duration // 72 h
	DeleteWhen              string        // hours, "04"; several separated by ;
	CleanForciblyOff        bool          // cleanFileForciblyEnable=false
	DiskMaxUsedSpaceRatio   int           // 75 %
	DiskCleanForciblyRatio  int           // diskSpaceCleanForciblyRatio, 85 %
	DiskWarningLevelRatio   int           // diskSpaceWarningLevelRatio, 90 %
	DeleteFileBatchMax      int           // 10
	DeleteFilesInterval     time.Duration // deleteCommitLogFilesInterval, 100 ms
	CleanResourceInterval   time.Duration // 10 s
	TailBytes               int           // newest log data kept in memory, 4 MiB
	ZeroAhead               int64         // bytes of zeros written in front of the appender, none; for SyncFlush
	MaxOpenConsumeQueueFile int           // half of the files that the process may open, 256 to 16,384
}

// maxRecord bounds the size of a record that is believed.
func (o *Options) maxRecord() int { return max(o.MaxMessageSize+recordSlack, 64<<20) }

func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() (Options, error) {
	if o.StorePathRootDir == "" {
		return o, fmt.Errorf("store: StorePathRootDir is empty")
	}
	o.FS, o.Clock = vfs.Or(o.FS), clock.Or(o.Clock)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	set(&o.StorePathCommitLog, filepath.Join(o.StorePathRootDir, "commitlog"))
	set(&o.FileSizeCommitLog, 1<<30)
	set(&o.FileSizeConsumeQueue, 6_000_000)
	set(&o.MaxHashSlotNum, 5_000_000)
	set(&o.MaxIndexNum, 20_000_000)
	set(&o.MaxMessageSize, 4<<20)
	set(&o.MessageDelayLevel, DefaultDelayLevels)
	set(&o.OSPageCacheBusyTimeout, time.Second)
	set(&o.FlushIntervalCommitLog, 500*time.Millisecond)
	set(&o.FlushLeastPages, 4)
	set(&o.FlushThoroughInterval, 10*time.Second)
	set(&o.SyncFlushTimeout, 5*time.Second)
	set(&o.FlushIntervalQueues, time.Second)
	set(&o.CheckpointInterval, time.Minute)
	set(&o.CheckpointBytes, 1<<30)
	set(&o.MaxTransferBytesMemory, 256<<10)
	set(&o.MaxTransferCountMemory, 32)
	set(&o.MaxTransferBytesDisk, 64<<10)
	set(&o.MaxTransferCountDisk, 8)
	set(&o.MaxFilterMessageSize, 16_000)
	set(&o.AccessInMemoryMaxRatio, 40)
	if o.PhysicalMemory == 0 {
		o.PhysicalMemory = vfs.PhysicalMemory() // it reads files
	}
	set(&o.MaxMsgsNumBatch, 64)
	set(&o.FileReservedTime, 72*time.Hour)
	set(&o.DeleteWhen, "04")
	set(&o.DiskMaxUsedSpaceRatio, 75)
	set(&o.DiskCleanForciblyRatio, 85)
	set(&o.DiskWarningLevelRatio, 90)
	set(&o.DeleteFileBatchMax, 10)
	set(&o.DeleteFilesInterval, 100*time.Millisecond)
	set(&o.CleanResourceInterval, 10*time.Second)
	set(&o.TailBytes, 4<<20)
	set(&o.MaxOpenConsumeQueueFile, min(max(vfs.OpenFiles()/2, 256), 16<<10))
	switch {
	case strings.Contains(o.StorePathCommitLog, ","):
		return o, fmt.Errorf("store: storePathCommitLog %q: several directories are not supported", o.StorePathCommitLog)
	case o.FileSizeCommitLog < 4096 || o.FileSizeCommitLog > math.MaxInt32:
		return o, fmt.Errorf("store: mappedFileSizeCommitLog %d is out of range", o.FileSizeCommitLog)
	case o.FileSizeConsumeQueue%consumequeue.EntrySize != 0:
		// Java rounds up in the same way.
		o.FileSizeConsumeQueue += consumequeue.EntrySize - o.FileSizeConsumeQueue%consumequeue.EntrySize
	}
	return o, nil
}

// parseDelayLevels reads messageDelayLevel: the delay of level n in ms stands at
// index n; index 0 is unused.
func parseDelayLevels(text string) ([]int64, error) {
	unit := map[byte]int64{'s': 1000, 'm': 60_000, 'h': 3_600_000, 'd': 86_400_000}
	out := []int64{0}
	for _, f := range strings.Fields(text) {
		u := unit[f[len(f)-1]]
		n, err := strconv.ParseInt(f[:len(f)-1], 10, 32)
		if err != nil || u == 0 || n < 0 {
			return nil, fmt.Errorf("store: messageDelayLevel %q: %q is no delay", text, f)
		}
		out = append(out, n*u)
	}
	return out, nil
}
