package broker

import (
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

// zeroAhead is how many bytes of zeros a log that is synced for each message has in
// front of it: some seconds of one sender's, a few syncs of many.
const zeroAhead = 32 << 20

// storeOptions fills in the settings of broker.conf that the store reads.
func storeOptions(o *store.Options, c *config.Config) {
	o.StorePathRootDir, o.StorePathCommitLog = c.StorePathRootDir, c.CommitLogDir()
	if c.FlushDiskType == "SYNC_FLUSH" {
		o.FlushDiskType = store.SyncFlush
		o.ZeroAhead = zeroAhead
	}
	o.FileSizeCommitLog = int64(c.MappedFileSizeCommitLog)
	o.FileSizeConsumeQueue = int64(c.MappedFileSizeConsumeQueue)
	o.MaxHashSlotNum, o.MaxIndexNum = int32(c.MaxHashSlotNum), int32(c.MaxIndexNum)
	o.MessageDelayLevel = c.MessageDelayLevel
	o.EnabledAppendPropCRC = c.EnabledAppendPropCRC
	o.CheckCRCOnRecoverOff = !c.CheckCRCOnRecover
	var t store.Tunables
	storeTunables(&t, c)
	o.Tune(&t)
}

// storeTunables fills in the settings that the store follows while it is open.
func storeTunables(t *store.Tunables, c *config.Config) {
	t.MessageIndexDisable = !c.MessageIndexEnable
	t.MaxMessageSize = c.MaxMessageSize
	t.OSPageCacheBusyTimeout = c.OSPageCacheBusyTimeOutMills.Duration()
	t.FlushIntervalCommitLog = c.FlushIntervalCommitLog.Duration()
	t.FlushLeastPages = c.FlushCommitLogLeastPages
	t.FlushThoroughInterval = c.FlushCommitLogThoroughInterval.Duration()
	t.SyncFlushTimeout = c.SyncFlushTimeout.Duration()
	t.FlushIntervalQueues = c.FlushIntervalConsumeQueue.Duration()
	t.CheckpointInterval = c.FlushConsumeQueueThoroughInterval.Duration()
	t.MaxTransferBytesMemory = c.MaxTransferBytesOnMessageInMemory
	t.MaxTransferCountMemory = c.MaxTransferCountOnMessageInMemory
	t.MaxTransferBytesDisk = c.MaxTransferBytesOnMessageInDisk
	t.MaxTransferCountDisk = c.MaxTransferCountOnMessageInDisk
	t.MaxFilterMessageSize = c.MaxFilterMessageSize
	t.AccessInMemoryMaxRatio = c.AccessMessageInMemoryMaxRatio
	t.MaxMsgsNumBatch = c.MaxMsgsNumBatch
	t.FileReservedTime = clock.Span(int64(c.FileReservedTime), time.Hour)
	t.DeleteWhen = c.DeleteWhen
	t.CleanForciblyOff = !c.CleanFileForciblyEnable
	t.DiskMaxUsedSpaceRatio = min(max(c.DiskMaxUsedSpaceRatio, 10), 95) // as Java clamps it
	t.DiskCleanForciblyRatio = c.DiskSpaceCleanForciblyRatio
	t.DiskWarningLevelRatio = c.DiskSpaceWarningLevelRatio
	t.DeleteFileBatchMax = c.DeleteFileBatchMax
	t.DeleteFilesInterval = max(c.DeleteCommitLogFilesInterval.Duration(), 1) // 0 would mean the store's default
	t.CleanResourceInterval = c.CleanResourceInterval.Duration()
}

// followStore lets the store follow the configuration until stop.
func (b *Broker) followStore() (stop func()) {
	return b.opts.Config.Follow(func(c *config.Config) {
		b.store.Set(func(t *store.Tunables) { storeTunables(t, c) })
	})
}
