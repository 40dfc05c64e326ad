package commitlog

import (
	"bytes"
	"errors"
	"strings"

	"github.com/merlinmq/merlin/protocol/message"
)

// sectorSize is what a disk writes as a whole.
const sectorSize = 512

// NeedsSeal says whether a record with these properties must carry the checksum
// property (message.AppendCRC). A segment is zeros before it is written, and the
// checksum of a record covers its body alone: zeros in the properties, which any
// client may send, look like sectors that a power failure kept from the disk. The
// checksum property tells the two apart.
func NeedsSeal(properties []byte) bool { return bytes.IndexByte(properties, 0) >= 0 }

var (
	errSeal = errors.New("the record fails its checksum property")
	errTorn = errors.New("sectors of the record were never written")
)

// checkSeal says what a power failure left of a record that was appended with
// NeedsSeal in mind: its checksum property, when it has one, is right, and
// otherwise no part that a disk writes as a whole is zero. A client's own property
// of that name is overwritten before the record is appended, so that what it sends
// decides nothing.
func checkSeal(rec []byte, off int64, m *message.Message) error {
	if message.HasCRC(m.Properties) {
		if message.CheckCRC(rec) != nil {
			return errSeal
		}
		return nil
	}
	if isTorn(rec, off, m) {
		return errTorn
	}
	return nil
}

// isTorn says whether the topic has a zero byte or the properties lack a sector
// or their end.
func isTorn(rec []byte, off int64, m *message.Message) bool {
	if strings.IndexByte(m.Topic, 0) >= 0 || len(m.Properties) > 0 && rec[len(rec)-1] == 0 {
		return true
	}
	for at := len(rec) - len(m.Properties); at < len(rec); {
		end := min(len(rec), at+sectorSize-int((off+int64(at))%sectorSize))
		if len(bytes.Trim(rec[at:end], "\x00")) == 0 {
			return true
		}
		at = end
	}
	return false
}
