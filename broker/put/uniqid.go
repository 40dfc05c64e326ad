package put

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// IDs makes unique message ids (UNIQ_KEY) for messages that came without one, in
// the layout of MessageClientIDSetter: address, process, a random word, ms since
// the start of the month, a counter.
type IDs struct {
	prefix  []byte
	now     func() time.Time
	counter atomic.Uint32
}

// NewIDs makes a generator. process and random keep two brokers of one address
// apart.
func NewIDs(host netip.Addr, process uint16, random uint32, now func() time.Time) *IDs {
	p := append([]byte(nil), host.Unmap().AsSlice()...)
	p = binary.BigEndian.AppendUint16(p, process)
	p = binary.BigEndian.AppendUint32(p, random)
	return &IDs{prefix: p, now: now}
}

// Next gives a new id: 32 hex digits for an IPv4 host, 56 for IPv6.
func (g *IDs) Next() string {
	now := g.now()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
	b := append([]byte(nil), g.prefix...)
	b = binary.BigEndian.AppendUint32(b, uint32(now.Sub(month).Milliseconds()))
	b = binary.BigEndian.AppendUint16(b, uint16(g.counter.Add(1)))
	return strings.ToUpper(hex.EncodeToString(b))
}
