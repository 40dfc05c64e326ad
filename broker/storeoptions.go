package broker

import (
	"time"

	"github.com/merlinmq/merlin/broker/config"
	"github.com/merlinmq/merlin/store"
)

// storeOptions fills in the settings of broker.conf that the store reads.
func storeOptions(o *store.Options, c *config.Config) {
	o.StorePathRootDir, o.StorePathCommitLog = c.StorePathRootDir, c.CommitLogDir()
	if c.FlushDiskType == "SYNC_FLUSH" {
		o.FlushDiskType = store.SyncFlush
	}
	o.FileSizeCommitLog = int64(c.MappedFileSizeCommitLog)
	o.FileSizeConsumeQueue = int64(c.MappedFileSizeConsumeQueue)
	o.MaxHashSlotNum, o.MaxIndexNum = int32(c.MaxHashSlotNum), int32(c.MaxIndexNum)
	o.MessageIndexDisable = !c.MessageIndexEnable
	o.MaxMessageSize = c.MaxMessageSize
	o.MessageDelayLevel = c.MessageDelayLevel
	o.EnabledAppendPropCRC = c.EnabledAppendPropCRC
	o.CheckCRCOnRecoverOff = !c.CheckCRCOnRecover
	o.OSPageCacheBusyTimeout = c.OSPageCacheBusyTimeOutMills.Duration()
	o.FlushIntervalCommitLog = c.FlushIntervalCommitLog.Duration()
	o.FlushLeastPages = c.FlushCommitLogLeastPages
	o.FlushThoroughInterval = c.FlushCommitLogThoroughInterval.Duration()
	o.SyncFlushTimeout = c.SyncFlushTimeout.Duration()
	o.FlushIntervalQueues = c.FlushIntervalConsumeQueue.Duration()
	o.CheckpointInterval = c.FlushConsumeQueueThoroughInterval.Duration()
	o.MaxTransferBytesMemory = c.MaxTransferBytesOnMessageInMemory
	o.MaxTransferCountMemory = c.MaxTransferCountOnMessageInMemory
	o.MaxTransferBytesDisk = c.MaxTransferBytesOnMessageInDisk
	o.MaxTransferCountDisk = c.MaxTransferCountOnMessageInDisk
	o.MaxFilterMessageSize = c.MaxFilterMessageSize
	o.AccessInMemoryMaxRatio = c.AccessMessageInMemoryMaxRatio
	o.MaxMsgsNumBatch = c.MaxMsgsNumBatch
	o.FileReservedTime = time.Duration(c.FileReservedTime) * time.Hour
	o.DeleteWhen = c.DeleteWhen
	o.CleanForciblyOff = !c.CleanFileForciblyEnable
	o.DiskMaxUsedSpaceRatio = c.DiskMaxUsedSpaceRatio
	o.DiskCleanForciblyRatio = c.DiskSpaceCleanForciblyRatio
	o.DiskWarningLevelRatio = c.DiskSpaceWarningLevelRatio
	o.DeleteFileBatchMax = c.DeleteFileBatchMax
	o.DeleteFilesInterval = max(c.DeleteCommitLogFilesInterval.Duration(), 1) // 0 would mean the store's default
	o.CleanResourceInterval = c.CleanResourceInterval.Duration()
}
