package message

import "net/netip"

// Message holds the fields of one stored record (MessageExtBrokerInner). Strings
// and slices belong to whoever filled it; functions of this package that read a
// record alias the record.
type Message struct {
	Topic          string
	QueueID        int32
	Flag           int32  // the application's
	SysFlag        int32  // SysFlag… bits
	Body           []byte // as sent, compressed or not
	Properties     []byte // encoded: name 0x01 value 0x02 …
	BornTimestamp  int64  // ms
	BornHost       netip.AddrPort
	StoreTimestamp int64 // ms, set by the store
	StoreHost      netip.AddrPort
	ReconsumeTimes int32
	// PreparedTransactionOffset is the commit log offset of the half message of
	// a committed message.
	PreparedTransactionOffset int64

	QueueOffset int64  // set by the store
	PhyOffset   int64  // set by the store
	BodyCRC     uint32 // CRC-32 (IEEE) of Body, top bit cleared; set by the encoder
	StoreSize   int32  // totalSize of the record; set when decoded

	// TagsCode goes into the consume queue; the store takes it from here when
	// the record is appended and works it out again from the record when it
	// dispatches after a restart.
	TagsCode int64
}

// BatchEntry is one message of a batch body (SEND_BATCH_MESSAGE).
type BatchEntry struct {
	Flag       int32
	Body       []byte
	Properties []byte
}
