package wire

import (
	"encoding/binary"
	"strconv"
	"sync"

	"github.com/merlinmq/merlin/compat/fastjson"
	"github.com/merlinmq/merlin/compat/javastr"
)

// FieldWriter appends extFields entries to a frame, in the encoding of the frame.
// It is lent to FieldEncoder.EncodeFields and must not be kept.
type FieldWriter struct {
	dst   []byte
	enc   Encoding
	first bool // JSON: no comma yet
}

// writers lends FieldWriters: one that is passed through an interface would be
// allocated anew for every frame.
var writers = sync.Pool{New: func() any { return new(FieldWriter) }}

// Encoding is the encoding in force. Header classes with a hand-written codec
// write their fields in another order in the binary form.
func (w *FieldWriter) Encoding() Encoding { return w.enc }

// String appends an entry. In JSON the value is escaped as fastjson does; the key needs
// no escapes, here and below.
func (w *FieldWriter) String(key, v string) {
	if w.enc == Binary {
		w.key(key)
		w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(len(v)))
		w.dst = append(w.dst, v...)
		return
	}
	w.key(key)
	w.dst = fastjson.AppendString(w.dst, v)
}

// Int32 appends an entry with a decimal number.
func (w *FieldWriter) Int32(key string, v int32) { w.Int64(key, int64(v)) }

// Int64 appends an entry with a decimal number.
func (w *FieldWriter) Int64(key string, v int64) {
	at := w.open(key)
	w.dst = strconv.AppendInt(w.dst, v, 10)
	w.close(at)
}

// Bool appends an entry with the text true or false.
func (w *FieldWriter) Bool(key string, v bool) {
	at := w.open(key)
	w.dst = strconv.AppendBool(w.dst, v)
	w.close(at)
}

// Float64 appends an entry with the text of a Java double.
func (w *FieldWriter) Float64(key string, v float64) {
	at := w.open(key)
	w.dst = javastr.AppendDouble(w.dst, v)
	w.close(at)
}

// key appends the key and what stands before and after it.
func (w *FieldWriter) key(key string) {
	if w.enc == Binary {
		w.dst = binary.BigEndian.AppendUint16(w.dst, uint16(len(key)))
		w.dst = append(w.dst, key...)
		return
	}
	if !w.first {
		w.dst = append(w.dst, ',')
	}
	w.first = false
	w.dst = append(w.dst, '"')
	w.dst = append(w.dst, key...)
	w.dst = append(w.dst, '"', ':')
}

// field appends an entry with any key.
func (w *FieldWriter) field(f *Field) {
	if w.enc == Binary {
		w.String(f.Key, f.Value)
		return
	}
	if !w.first {
		w.dst = append(w.dst, ',')
	}
	w.first = false
	w.dst = append(fastjson.AppendString(w.dst, f.Key), ':')
	w.dst = fastjson.AppendString(w.dst, f.Value)
}

// open starts an entry whose value needs no escapes and returns the place of its
// length, for close.
func (w *FieldWriter) open(key string) int {
	w.key(key)
	at := len(w.dst)
	if w.enc == Binary {
		w.dst = append(w.dst, 0, 0, 0, 0)
	} else {
		w.dst = append(w.dst, '"')
	}
	return at
}

// close ends the entry that open started.
func (w *FieldWriter) close(at int) {
	if w.enc == Binary {
		binary.BigEndian.PutUint32(w.dst[at:], uint32(len(w.dst)-at-4))
	} else {
		w.dst = append(w.dst, '"')
	}
}

// AppendHead appends the total length, the header word and the header of a frame
// whose body of bodyLen bytes the caller appends (or writes) next. The bytes are
// those of a Java peer: JSON keys in alphabetical order, the entries of o.Header
// in the order it writes them, then o.Ext.
//
// A header longer than the 3 bytes of the header word can tell, 16 MiB, would be
// a frame longer than MaxFrame; the caller keeps below that.
func AppendHead(dst []byte, o *Outgoing, bodyLen int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	w := writers.Get().(*FieldWriter)
	w.dst, w.enc, w.first = dst, o.Encoding, true
	if o.Encoding == Binary {
		w.binaryHead(o)
	} else {
		w.jsonHead(o)
	}
	dst = w.dst
	w.dst = nil
	writers.Put(w)
	size := len(dst) - start - 8
	binary.BigEndian.PutUint32(dst[start:], uint32(headerWord+size+bodyLen))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(o.Encoding)<<24|uint32(size)&0xFFFFFF)
	return dst
}

// binaryHead appends the ROCKETMQ header. The code is cut to 16 bits, as Java
// does: codes above 32767 (the POP calls) arrive as another code.
func (w *FieldWriter) binaryHead(o *Outgoing) {
	w.dst = binary.BigEndian.AppendUint16(w.dst, uint16(o.Code))
	w.dst = append(w.dst, byte(o.Language))
	w.dst = binary.BigEndian.AppendUint16(w.dst, uint16(o.Version))
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(o.Opaque))
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(o.Flag))
	remark := ""
	if o.HasRemark {
		remark = o.Remark
	}
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(len(remark)))
	w.dst = append(w.dst, remark...)
	at := len(w.dst)
	w.dst = append(w.dst, 0, 0, 0, 0)
	w.entries(o)
	binary.BigEndian.PutUint32(w.dst[at:], uint32(len(w.dst)-at-4))
}

// jsonHead appends the JSON header.
func (w *FieldWriter) jsonHead(o *Outgoing) {
	w.dst = append(w.dst, `{"code":`...)
	w.dst = strconv.AppendInt(w.dst, int64(o.Code), 10)
	if o.Header != nil || len(o.Ext) > 0 {
		w.dst = append(w.dst, `,"extFields":{`...)
		w.entries(o)
		w.dst = append(w.dst, '}')
	}
	w.dst = append(w.dst, `,"flag":`...)
	w.dst = strconv.AppendInt(w.dst, int64(o.Flag), 10)
	if name := o.Language.String(); name != "" {
		w.dst = append(w.dst, `,"language":"`...)
		w.dst = append(w.dst, name...)
		w.dst = append(w.dst, '"')
	}
	w.dst = append(w.dst, `,"opaque":`...)
	w.dst = strconv.AppendInt(w.dst, int64(o.Opaque), 10)
	if o.HasRemark {
		w.dst = append(w.dst, `,"remark":`...)
		w.dst = fastjson.AppendString(w.dst, o.Remark)
	}
	w.dst = append(w.dst, `,"serializeTypeCurrentRPC":"JSON","version":`...)
	w.dst = strconv.AppendInt(w.dst, int64(o.Version), 10)
	w.dst = append(w.dst, '}')
}

// entries appends the fields of the header and the further entries.
func (w *FieldWriter) entries(o *Outgoing) {
	if o.Header != nil {
		o.Header.EncodeFields(w)
	}
	for i := range o.Ext {
		w.field(&o.Ext[i])
	}
}
