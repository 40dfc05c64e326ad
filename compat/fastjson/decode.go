package fastjson

import (
	"encoding/base64"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Unmarshal reads a document into the struct, map or slice that v points to. A
// struct with defaults gets them first; names that it does not have are passed
// over. Nothing aliases data. An error wraps ErrSyntax, and v is then half read.
//
// Nesting and the number of elements are limited, so what Unmarshal allocates is
// bounded by a multiple of the document.
func Unmarshal(data []byte, v any) error {
	p := reflect.ValueOf(v)
	d := decoder{scanner{b: data}}
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return d.errorf("%T is not a pointer", v)
	}
	if err := d.value(p.Elem(), options{}); err != nil {
		return err
	}
	if d.peek(); d.i < len(d.b) {
		return d.errorf("text after the document")
	}
	return nil
}

type decoder struct{ scanner }

// value reads any value into v.
func (d *decoder) value(v reflect.Value, o options) error {
	if d.null() {
		v.SetZero()
		if v.Kind() == reflect.Uint8 && v.Type().Implements(enumType) {
			v.SetUint(math.MaxUint8)
		}
		return nil
	}
	if v.Type().Implements(enumType) {
		return d.enum(v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return d.value(p.Elem(), o)
	case reflect.String:
		return d.string(v)
	case reflect.Bool:
		return d.bool(v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return d.integer(v)
	case reflect.Float32, reflect.Float64:
		return d.float(v)
	case reflect.Slice:
		return d.slice(v, o)
	case reflect.Map:
		return d.object(v, o)
	case reflect.Struct:
		return d.bean(v)
	}
	return d.errorf("no way to read %v", v.Type())
}

// scalar reads a string or word as text.
func (d *decoder) scalar() (string, error) {
	if isQuote(d.peek()) {
		return d.text()
	}
	return d.word()
}

// string reads a string; other values give their text, as in Java.
func (d *decoder) string(v reflect.Value) error {
	c := d.peek()
	if c != '{' && c != '[' {
		text, err := d.scalar()
		v.SetString(text)
		return err
	}
	start := d.i
	err := d.skip()
	v.SetString(string(d.b[start:d.i]))
	return err
}

// enum reads a name, in any case, or an ordinal.
func (d *decoder) enum(v reflect.Value) error {
	quoted := isQuote(d.peek())
	text, err := d.scalar()
	if err != nil {
		return err
	}
	names := v.Interface().(Enum).Names()
	at := slices.Index(names, text)
	if at < 0 {
		at = slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, text) })
	}
	if n, err := strconv.Atoi(text); at < 0 && !quoted && err == nil && n >= 0 && n < len(names) {
		at = n
	}
	switch {
	case v.Kind() == reflect.String && at < 0:
		v.SetString("")
	case v.Kind() == reflect.String:
		v.SetString(names[at])
	case at < 0:
		v.SetUint(math.MaxUint8)
	default:
		v.SetUint(uint64(at))
	}
	return nil
}

func (d *decoder) bool(v reflect.Value) error {
	text, err := d.scalar()
	if err != nil {
		return err
	}
	switch strings.ToLower(text) {
	case "true", "1", "y", "t":
		v.SetBool(true)
	case "false", "0", "n", "f", "", "null":
		v.SetBool(false)
	default:
		return d.errorf("%.20q is not a boolean", text)
	}
	return nil
}

// integer reads a number, perhaps in quotes; a fraction is cut off.
func (d *decoder) integer(v reflect.Value) error {
	text, err := d.scalar()
	if err != nil {
		return err
	}
	if text == "" || text == "null" || text == "false" {
		v.SetInt(0)
		return nil
	}
	if text == "true" {
		v.SetInt(1)
		return nil
	}
	n, ok := parseInteger(text)
	if !ok || v.OverflowInt(n) {
		return d.errorf("%.40q is not a number of %v", text, v.Type())
	}
	v.SetInt(n)
	return nil
}

// parseInteger reads a whole number, a Java literal like 5L, or a decimal that is
// cut off.
func parseInteger(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	text = strings.TrimRight(text, "LSBlsb")
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < math.MinInt64 || f >= math.MaxInt64 {
		return 0, false
	}
	return int64(f), true
}

func (d *decoder) float(v reflect.Value) error {
	text, err := d.scalar()
	if err != nil {
		return err
	}
	if text == "" || text == "null" || strings.EqualFold(text, "NaN") {
		v.SetFloat(0)
		return nil
	}
	f, err := strconv.ParseFloat(strings.TrimRight(text, "DFdf"), 64)
	if err != nil {
		return d.errorf("%.40q is not a number", text)
	}
	v.SetFloat(f)
	return nil
}

func (d *decoder) slice(v reflect.Value, o options) error {
	elem := v.Type().Elem()
	if elem.Kind() == reflect.Uint8 && d.peek() != '[' {
		text, err := d.scalar()
		if err != nil {
			return err
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return d.errorf("%v", err)
		}
		v.SetBytes(b)
		return nil
	}
	out := reflect.MakeSlice(v.Type(), 0, 0)
	var seen map[any]bool
	if o.set && elem.Comparable() {
		seen = map[any]bool{}
	}
	err := d.list('[', ']', func() error {
		if err := d.grow(elem.Size()); err != nil {
			return err
		}
		e := reflect.New(elem).Elem()
		if err := d.value(e, options{}); err != nil {
			return err
		}
		if seen != nil {
			if seen[e.Interface()] {
				return nil
			}
			seen[e.Interface()] = true
		}
		out = reflect.Append(out, e)
		return nil
	})
	v.Set(out)
	return err
}

func (d *decoder) object(v reflect.Value, o options) error {
	t := v.Type()
	m := reflect.MakeMap(t)
	v.Set(m)
	return d.list('{', '}', func() error {
		if err := d.grow(t.Key().Size() + t.Elem().Size()); err != nil {
			return err
		}
		key := reflect.New(t.Key()).Elem()
		if err := d.key(key); err != nil {
			return err
		}
		value := reflect.New(t.Elem()).Elem()
		if d.null() {
			return nil // Java keeps the key, but writes it no more
		}
		if err := d.value(value, options{set: o.set}); err != nil {
			return err
		}
		m.SetMapIndex(key, value)
		return nil
	})
}

// key reads a map key and the colon. An object key may stand in quotes, as the
// standard form writes it.
func (d *decoder) key(key reflect.Value) error {
	if key.Kind() == reflect.Struct && isQuote(d.peek()) {
		text, err := d.text()
		if err != nil {
			return err
		}
		inner := decoder{scanner{b: []byte(text), depth: d.depth + 1}}
		if err := inner.enter(); err != nil {
			return err
		}
		if err := inner.value(key, options{}); err != nil {
			return err
		}
	} else if err := d.value(key, options{}); err != nil {
		return err
	}
	if !d.take(':') {
		return d.errorf("no colon")
	}
	return nil
}

func (d *decoder) bean(v reflect.Value) error {
	b, err := beanOf(v.Type())
	if err != nil {
		return err
	}
	v.SetZero()
	for _, at := range b.ordinals {
		v.FieldByIndex(at).SetUint(math.MaxUint8)
	}
	if b.defaulter {
		v.Addr().Interface().(Defaulter).SetDefaults()
	}
	if isQuote(d.peek()) { // an empty string is null
		if text, err := d.text(); err != nil || text != "" {
			return d.errorf("string where %v was expected", v.Type())
		}
		return nil
	}
	return d.list('{', '}', func() error {
		name, err := d.scalar()
		if err != nil {
			return err
		}
		if !d.take(':') {
			return d.errorf("no colon")
		}
		f := b.byName[name]
		if f == nil {
			f = b.folded[fold(name)]
		}
		if f == nil {
			return d.skip()
		}
		fv := v.FieldByIndex(f.index)
		if d.null() {
			switch {
			case fv.Kind() == reflect.Uint8:
				fv.SetUint(math.MaxUint8) // an Enum of ordinals
			case fv.Kind() != reflect.Bool && !fv.CanInt() && !fv.CanFloat():
				fv.SetZero() // a primitive keeps its default
			}
			return nil
		}
		return d.value(fv, f.opts)
	})
}
