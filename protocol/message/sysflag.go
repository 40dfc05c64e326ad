package message

// Bits of Message.SysFlag (MessageSysFlag).
const (
	SysFlagCompressed      int32 = 0x1      // the body is compressed
	SysFlagMultiTags       int32 = 0x2      // set by old clients, without effect
	SysFlagTransactionMask int32 = 0x3 << 2 // one of the three below, or 0 for none
	SysFlagPrepared        int32 = 0x1 << 2 // half message
	SysFlagCommit          int32 = 0x2 << 2 // committed
	SysFlagRollback        int32 = 0x3 << 2 // rolled back
	SysFlagBornHostV6      int32 = 0x1 << 4 // born host takes 20 bytes
	SysFlagStoreHostV6     int32 = 0x1 << 5 // store host takes 20 bytes
	SysFlagNeedUnwrap      int32 = 0x1 << 6 // an inner batch that the client unpacks
	SysFlagInnerBatch      int32 = 0x1 << 7 // the record holds a whole batch
	SysFlagCompressionMask int32 = 0x7 << 8 // kind of compression; 0 is ZLIB of old clients
	SysFlagLZ4             int32 = 0x1 << 8
	SysFlagZSTD            int32 = 0x2 << 8
	SysFlagZLIB            int32 = 0x3 << 8
)

// TransactionType cuts the transaction bits out of a sysFlag
// (getTransactionValue).
func TransactionType(sysFlag int32) int32 { return sysFlag & SysFlagTransactionMask }

// WithTransactionType replaces the transaction bits of a sysFlag
// (resetTransactionValue).
func WithTransactionType(sysFlag, kind int32) int32 {
	return sysFlag&^SysFlagTransactionMask | kind
}
