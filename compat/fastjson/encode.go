package fastjson

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unicode/utf16"

	"github.com/merlinmq/merlin/compat/javastr"
)

// Form is one of the ways to write a document.
type Form uint8

// Forms.
const (
	Compact  Form = iota // toJSONString(object)
	Pretty               // toJSONString(object, true): configuration files
	Standard             // with BrowserCompatible and MapSortField: valid JSON in ASCII
)

// maxSafe is the largest integer of a JavaScript number; the standard form puts
// quotes around larger ones.
const maxSafe = 1<<53 - 1

// Marshal writes v in the compact form. It fails only for types that have no
// form, which is a mistake of the caller.
func Marshal(v any) ([]byte, error) { return Append(nil, v, Compact) }

// Append appends v in a form to dst.
func Append(dst []byte, v any, form Form) ([]byte, error) {
	e := encoder{dst: dst, form: form}
	e.value(reflect.ValueOf(v), options{})
	if e.err != nil {
		return dst, e.err
	}
	return e.dst, nil
}

type encoder struct {
	dst    []byte
	form   Form
	indent int
	err    error // the first one
}

// line starts a new line of the pretty form.
func (e *encoder) line() {
	if e.form != Pretty {
		return
	}
	e.dst = append(e.dst, '\n')
	for range e.indent {
		e.dst = append(e.dst, '\t')
	}
}

// isNull reports whether a field or element is null in Java.
func isNull(v reflect.Value, inField bool) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return v.IsNil()
	case reflect.String:
		return inField && v.Len() == 0
	}
	if v.Type().Implements(enumType) {
		return int(v.Uint()) >= len(v.Interface().(Enum).Names())
	}
	return false
}

func (e *encoder) value(v reflect.Value, o options) {
	if isNull(v, false) && !o.nonnil {
		e.dst = append(e.dst, "null"...)
		return
	}
	if v.Type().Implements(enumType) && v.Kind() != reflect.String {
		e.string(v.Interface().(Enum).Names()[v.Uint()])
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		e.value(v.Elem(), o)
	case reflect.String:
		e.string(v.String())
	case reflect.Bool:
		e.dst = strconv.AppendBool(e.dst, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.integer(v.Int())
	case reflect.Float64, reflect.Float32:
		e.float(v.Float())
	case reflect.Slice:
		e.slice(v, o)
	case reflect.Map:
		e.object(v, o)
	case reflect.Struct:
		e.bean(v)
	default:
		e.err = fmt.Errorf("fastjson: no form for %v", v.Type())
	}
}

// string writes a string; the standard form has no bytes above 0x7F.
func (e *encoder) string(s string) {
	if e.form != Standard {
		e.dst = AppendString(e.dst, s)
		return
	}
	e.dst = append(e.dst, '"')
	for _, r := range s {
		switch {
		case r == '/':
			e.dst = append(e.dst, '\\', '/')
		case r < 0x80 && class[byte(r)] == asIs:
			e.dst = append(e.dst, byte(r))
		case r < 0x10000:
			e.dst = appendEscape(e.dst, r)
		default:
			high, low := utf16.EncodeRune(r)
			e.dst = appendEscape(appendEscape(e.dst, high), low)
		}
	}
	e.dst = append(e.dst, '"')
}

func (e *encoder) integer(n int64) {
	quoted := e.form == Standard && (n > maxSafe || n < -maxSafe)
	if quoted {
		e.dst = append(e.dst, '"')
	}
	e.dst = strconv.AppendInt(e.dst, n, 10)
	if quoted {
		e.dst = append(e.dst, '"')
	}
}

func (e *encoder) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.dst = append(e.dst, "null"...)
		return
	}
	e.dst = javastr.AppendDouble(e.dst, f)
}

func (e *encoder) slice(v reflect.Value, o options) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		e.dst = append(e.dst, '"')
		e.dst = base64.StdEncoding.AppendEncode(e.dst, v.Bytes())
		e.dst = append(e.dst, '"')
		return
	}
	lines := !o.set && !o.inline // fastjson starts lines for the elements of a List
	e.dst = append(e.dst, '[')
	if lines {
		e.indent++
	}
	for i := range v.Len() {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if lines {
			e.line()
		}
		e.value(v.Index(i), options{})
	}
	if lines {
		e.indent--
	}
	if v.Len() > 0 && lines {
		e.line()
	}
	e.dst = append(e.dst, ']')
}

func (e *encoder) object(v reflect.Value, o options) {
	e.dst = append(e.dst, '{')
	e.indent++
	n := 0
	for _, p := range entries(v, o.sorted || e.form == Standard, o.table) {
		if isNull(p.value, false) {
			continue
		}
		if n > 0 {
			e.dst = append(e.dst, ',')
		}
		if p.key.Kind() == reflect.String {
			e.line() // fastjson starts no line for other keys
		}
		e.key(p.key)
		e.dst = append(e.dst, ':')
		e.value(p.value, options{set: o.set, inline: o.inline})
		n++
	}
	e.indent--
	if n > 0 {
		e.line()
	}
	e.dst = append(e.dst, '}')
}

// key writes a map key: numbers and objects without quotes, except that the
// standard form quotes them.
func (e *encoder) key(k reflect.Value) {
	quoted := e.form == Standard && k.Kind() != reflect.String
	if !quoted {
		e.value(k, options{})
		return
	}
	inner := encoder{form: Compact}
	inner.value(k, options{})
	if inner.err != nil {
		e.err = inner.err
	}
	e.string(string(inner.dst))
}

func (e *encoder) bean(v reflect.Value) {
	b, err := beanOf(v.Type())
	if err != nil {
		e.err = err
		return
	}
	e.dst = append(e.dst, '{')
	e.indent++
	e.beanFields(v, b)
	e.indent--
	if len(b.fields) > 0 {
		e.line()
	}
	e.dst = append(e.dst, '}')
}

func (e *encoder) beanFields(v reflect.Value, b *bean) {
	n := 0
	for i := range b.fields {
		f := &b.fields[i]
		fv := v.FieldByIndex(f.index)
		if isNull(fv, true) && !f.opts.nonnil && !f.filled {
			continue
		}
		if n > 0 {
			e.dst = append(e.dst, ',')
		}
		e.line()
		e.dst = append(e.dst, f.quote...)
		e.value(fv, f.opts)
		n++
	}
	if n == 0 && len(b.fields) > 0 {
		e.line()
	}
}
