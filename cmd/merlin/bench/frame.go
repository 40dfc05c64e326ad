package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Request codes that the bench sends and the limit serves.
const (
	codePull        = 11
	codeGetOffset   = 14
	codePutOffset   = 15
	codeCreateTopic = 17
	codeMaxOffset   = 30
	codeRoute       = 105
	codeSend        = 310
)

const (
	// firstOpaque keeps the opaque at ten digits, so that it is patched in place.
	firstOpaque = 1_000_000_000
	// firstBorn has the 13 digits of a time in ms of this century.
	firstBorn = 1_000_000_000_000
	// keyDigits is the length of a UNIQ_KEY.
	keyDigits = 32
	// version is the MQVersion ordinal of 5.3.3 that requests carry.
	version = 479
	// stampSize is what a measured message has at the front of its body: when it
	// was sent, in ns of the run's clock, and which run it belongs to.
	stampSize = 16
)

// template is the frame of a send to one queue without its body. It is shared and
// not changed: put copies it and patches the copy.
type template struct {
	head                    []byte
	opaqueAt, bornAt, keyAt int
}

// newTemplate encodes a send of a body of size bytes to a queue.
func newTemplate(topic string, queue, size int, oneway bool) (template, error) {
	key := string(bytes.Repeat([]byte{'0'}, keyDigits))
	o := wire.Outgoing{Code: codeSend, Opaque: firstOpaque, Version: version, Header: &header.SendMessageRequestV2{
		ProducerGroup: wire.Some("bench"), Topic: wire.Some(topic), DefaultTopic: wire.Some("TBW102"),
		DefaultTopicQueueNums: wire.Some(int32(4)), QueueID: wire.Some(int32(queue)), SysFlag: wire.Some(int32(0)),
		BornTimestamp: wire.Some(int64(firstBorn)), Flag: wire.Some(int32(0)),
		Properties:     wire.Some("UNIQ_KEY\x01" + key + "\x02WAIT\x01true\x02TAGS\x01TagA\x02"),
		ReconsumeTimes: wire.Some(int32(0)), UnitMode: wire.Some(false), Batch: wire.Some(false),
	}}
	if oneway {
		o.Flag = wire.FlagOneway
	}
	head := wire.AppendHead(nil, &o, size)
	t := template{
		head:     head,
		opaqueAt: after(head, `"opaque":`), bornAt: bytes.Index(head, strconv.AppendInt(nil, firstBorn, 10)),
		keyAt: bytes.Index(head, []byte(key)),
	}
	if t.opaqueAt < 0 || t.bornAt < 0 || t.keyAt < 0 {
		return t, fmt.Errorf("bench: the topic %q does not make a frame that can be patched", topic)
	}
	return t, nil
}

// put appends the frame with its own opaque, born time (ms) and key.
func (t *template) put(dst, body []byte, opaque int32, born int64, key uint64) []byte {
	at := len(dst)
	dst = append(append(dst, t.head...), body...)
	f := dst[at:]
	digits(f[t.opaqueAt:t.opaqueAt+10], uint64(opaque))
	digits(f[t.bornAt:t.bornAt+13], uint64(born))
	const hex = "0123456789ABCDEF"
	for i := keyDigits - 1; i >= keyDigits-16; i-- {
		f[t.keyAt+i] = hex[key&15]
		key >>= 4
	}
	return dst
}

// stamp writes the time and the run into the body of a frame.
func (t *template) stamp(frame []byte, now int64, run uint64) {
	binary.BigEndian.PutUint64(frame[len(t.head):], uint64(now))
	binary.BigEndian.PutUint64(frame[len(t.head)+8:], run)
}

func digits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// after gives the place behind a key, or -1.
func after(b []byte, key string) int {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return -1
	}
	return i + len(key)
}

// number reads the decimal number behind a key of a JSON header.
func number(h []byte, key string) (v int64, ok bool) {
	i := after(h, key)
	if i < 0 {
		return 0, false
	}
	negative := i < len(h) && h[i] == '-'
	if negative {
		i++
	}
	for ; i < len(h) && h[i] >= '0' && h[i] <= '9'; i++ {
		v, ok = v*10+int64(h[i]-'0'), true
	}
	if negative {
		v = -v
	}
	return v, ok
}
