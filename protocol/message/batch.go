package message

import (
	"encoding/binary"
	"fmt"
)

// batchFixed is the size of a batch entry with empty body and properties.
const batchFixed = 4 + 4 + 4 + 4 + 4 + 2

// DecodeBatchBody calls f for each message of a batch body, in order; body and
// properties of the entry alias body. It stops at the first error of f and returns
// it. An error of the body itself wraps ErrCorrupt; the entries before it were
// handed out then, so count first if that matters.
func DecodeBatchBody(body []byte, f func(BatchEntry) error) error {
	r := reader{b: body}
	for at := 0; len(r.b) > 0; at++ {
		r.bytes(12) // size, magic and checksum: 0 or unused
		var e BatchEntry
		e.Flag = int32(r.uint32())
		e.Body = r.bytes(int(int32(r.uint32())))
		e.Properties = r.bytes(int(int16(r.uint16())))
		if r.bad {
			return corrupt("message %d runs over the end of a batch body of %d bytes", at, len(body))
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// AppendBatchEntry appends one message of a batch body. An error wraps
// ErrTooLarge.
func AppendBatchEntry(dst []byte, e BatchEntry) ([]byte, error) {
	if len(e.Properties) > maxProperties {
		return dst, fmt.Errorf("%w: properties of %d bytes", ErrTooLarge, len(e.Properties))
	}
	if len(e.Body) > maxBody {
		return dst, fmt.Errorf("%w: body of %d bytes", ErrTooLarge, len(e.Body))
	}
	b := binary.BigEndian
	dst = b.AppendUint32(dst, uint32(batchFixed+len(e.Body)+len(e.Properties)))
	dst = b.AppendUint64(dst, 0) // magic and checksum
	dst = b.AppendUint32(dst, uint32(e.Flag))
	dst = b.AppendUint32(dst, uint32(len(e.Body)))
	dst = append(dst, e.Body...)
	dst = b.AppendUint16(dst, uint16(len(e.Properties)))
	return append(dst, e.Properties...), nil
}
