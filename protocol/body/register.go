package body

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/compat/version"
)

// RegisterBrokerBody is what a broker registers, of the code 103.
type RegisterBrokerBody struct {
	FilterServerList            []string                              `json:"filterServerList" java:"nonnil"`
	TopicConfigSerializeWrapper TopicConfigAndMappingSerializeWrapper `json:"topicConfigSerializeWrapper"`
}

// ErrRegister is wrapped by the errors of DecodeRegisterBroker.
var ErrRegister = errors.New("body: bad compressed registration")

// maxInflated limits what a compressed registration may unfold to, in bytes.
const maxInflated = 256 << 20

// DecodeRegisterBroker reads the body of a registration. With compressed (from the
// request header) it is the deflate stream of EncodeCompressed, whose last part,
// the static topics, only brokers from 5.0.0 on send: v is the version of the
// request.
func DecodeRegisterBroker(data []byte, compressed bool, v int32) (*RegisterBrokerBody, error) {
	b := new(RegisterBrokerBody)
	if !compressed {
		return b, Unmarshal(data, b)
	}
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRegister, err)
	}
	r := registerReader{r: io.LimitReader(z, maxInflated)}
	r.read(b, v)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRegister, r.err)
	}
	return b, nil
}

// registerReader reads the parts of a compressed registration; err is the first
// error.
type registerReader struct {
	r   io.Reader
	buf bytes.Buffer
	err error
}

func (r *registerReader) read(b *RegisterBrokerBody, v int32) {
	w := &b.TopicConfigSerializeWrapper
	r.json(&w.DataVersion)
	w.TopicConfigTable = map[string]TopicConfig{}
	for n := r.int(); n > 0 && r.err == nil; n-- {
		var c TopicConfig
		if text := r.part(); r.err == nil {
			r.err = c.DecodeText(string(text))
			w.TopicConfigTable[c.TopicName] = c
		}
	}
	r.json(&b.FilterServerList)
	if v < version.V5_0_0 {
		return
	}
	w.TopicQueueMappingInfoMap = map[string]TopicQueueMappingInfo{}
	for n := r.int(); n > 0 && r.err == nil; n-- {
		var info TopicQueueMappingInfo
		r.json(&info)
		w.TopicQueueMappingInfoMap[info.Topic] = info
	}
}

func (r *registerReader) int() int32 {
	var b [4]byte
	if r.err == nil {
		_, r.err = io.ReadFull(r.r, b[:])
	}
	return int32(binary.BigEndian.Uint32(b[:]))
}

// part reads a length and that many bytes, valid until the next part. It makes
// room only for bytes that are there.
func (r *registerReader) part() []byte {
	n := r.int()
	r.buf.Reset()
	if r.err == nil && n < 0 {
		r.err = fmt.Errorf("length %d", n)
	}
	if r.err == nil {
		_, r.err = io.CopyN(&r.buf, r.r, int64(n))
	}
	return r.buf.Bytes()
}

func (r *registerReader) json(v any) {
	if part := r.part(); r.err == nil {
		r.err = Unmarshal(part, v)
	}
}

// EncodeCompressed writes the compressed form: a deflate stream of the data
// version, the topics as text, the filter servers and the static topics, each with
// its length or count in front (4 bytes).
func (b *RegisterBrokerBody) EncodeCompressed() ([]byte, error) {
	var plain []byte
	w := &b.TopicConfigSerializeWrapper
	plain, err := appendPart(plain, &w.DataVersion)
	if err != nil {
		return nil, err
	}
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(w.TopicConfigTable)))
	for _, name := range fastjson.Keys(w.TopicConfigTable) {
		c := w.TopicConfigTable[name]
		text, err := c.EncodeText()
		if err != nil {
			return nil, err
		}
		plain = binary.BigEndian.AppendUint32(plain, uint32(len(text)))
		plain = append(plain, text...)
	}
	filters := b.FilterServerList
	if filters == nil {
		filters = []string{}
	}
	if plain, err = appendPart(plain, filters); err != nil {
		return nil, err
	}
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(w.TopicQueueMappingInfoMap)))
	for _, name := range fastjson.Keys(w.TopicQueueMappingInfoMap) {
		info := w.TopicQueueMappingInfoMap[name]
		if plain, err = appendPart(plain, &info); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// appendPart appends the length of v's JSON and the JSON.
func appendPart(dst []byte, v any) ([]byte, error) {
	text, err := Marshal(v)
	if err != nil {
		return dst, err
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...), nil
}

// EncodeText writes the configuration as Java's TopicConfig.encode does: name,
// read queues, write queues, permission, filter type and the attributes as JSON,
// with blanks between them.
func (c *TopicConfig) EncodeText() (string, error) {
	text := fmt.Sprintf("%s %d %d %d %s ", c.TopicName, c.ReadQueueNums, c.WriteQueueNums, c.Perm, c.TopicFilterType)
	if c.Attributes == nil {
		return text + "{}", nil
	}
	attributes, err := Marshal(c.Attributes)
	return text + string(attributes), err
}

// DecodeText reads what EncodeText wrote. As in Java, attributes with a blank in
// them are lost.
func (c *TopicConfig) DecodeText(text string) error {
	c.SetDefaults()
	part := strings.Split(text, " ")
	if len(part) < 5 || part[0] == "" {
		return fmt.Errorf("topic configuration %.100q has no five parts", text)
	}
	c.TopicName, c.TopicFilterType = part[0], TopicFilterType(part[4])
	for i, p := range []*int32{&c.ReadQueueNums, &c.WriteQueueNums, &c.Perm} {
		n, err := strconv.ParseInt(part[1+i], 10, 32)
		if err != nil {
			return fmt.Errorf("topic configuration %.100q: %w", text, err)
		}
		*p = int32(n)
	}
	if len(part) > 5 {
		var attributes map[string]string
		if Unmarshal([]byte(part[5]), &attributes) == nil {
			c.Attributes = attributes
		}
	}
	return nil
}
