package fastjson

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Enum is a Java enumeration: a string type that holds the name, or an unsigned
// type that holds the ordinal. Names returns the names by ordinal. A name that is
// not among them reads as null, as in Java: an empty string, or the largest value
// of an unsigned type, which is not written.
type Enum interface{ Names() []string }

// Defaulter sets the values that a new object has in Java; it is called on every
// struct before it is read.
type Defaulter interface{ SetDefaults() }

// Hasher is a map key that is an object, with Java's hashCode of it.
type Hasher interface{ HashCode() int32 }

var (
	enumType      = reflect.TypeFor[Enum]()
	defaulterType = reflect.TypeFor[Defaulter]()
)

// options of a field, from its tag.
type options struct {
	nonnil, set, inline, sorted bool
	table                       int
}

// field is one name of a bean.
type field struct {
	name  string
	quote []byte // "name":
	index []int
	opts  options
	// filled says that a new object has text here: an empty string is written, or it
	// would be read as that text.
	filled bool
}

// bean is what is known about a struct type.
type bean struct {
	fields    []field // in alphabetical order
	byName    map[string]*field
	folded    map[string]*field // by fold(name), for names spelled otherwise
	ordinals  [][]int           // the fields of unsigned enumerations, which are null in a new object
	defaulter bool
}

// beans caches the tags of struct types.
var beans sync.Map // reflect.Type → *bean

func beanOf(t reflect.Type) (*bean, error) {
	if b, ok := beans.Load(t); ok {
		return b.(*bean), nil
	}
	b := &bean{defaulter: reflect.PointerTo(t).Implements(defaulterType),
		byName: map[string]*field{}, folded: map[string]*field{}}
	if err := b.collect(t, nil); err != nil {
		return nil, err
	}
	b.noteDefaults(t)
	slices.SortFunc(b.fields, func(x, y field) int { return strings.Compare(x.name, y.name) })
	for i := range b.fields {
		f := &b.fields[i]
		b.byName[f.name] = f
		b.folded[fold(f.name)] = f
	}
	beans.Store(t, b)
	return b, nil
}

// noteDefaults finds the strings that are not empty in a new object, and the fields
// that are ordinals.
func (b *bean) noteDefaults(t reflect.Type) {
	fresh := reflect.New(t)
	if b.defaulter {
		fresh.Interface().(Defaulter).SetDefaults()
	}
	for i := range b.fields {
		f := &b.fields[i]
		v := fresh.Elem().FieldByIndex(f.index)
		switch enum := v.Type().Implements(enumType); {
		case v.Kind() == reflect.String:
			f.filled = v.Len() > 0 && !enum
		case enum:
			b.ordinals = append(b.ordinals, f.index)
		}
	}
}

// collect adds the fields of t, and of structs embedded in it.
func (b *bean) collect(t reflect.Type, index []int) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		tag, tagged := sf.Tag.Lookup("json")
		if sf.Anonymous && !tagged {
			if err := b.collect(sf.Type, at); err != nil {
				return err
			}
			continue
		}
		if !sf.IsExported() || !tagged || tag == "-" {
			continue
		}
		f := field{name: tag, index: at, quote: append(AppendString(nil, tag), ':')}
		for _, o := range strings.Split(sf.Tag.Get("java"), ",") {
			if err := f.opts.add(o); err != nil {
				return fmt.Errorf("fastjson: field %s of %v: %w", sf.Name, t, err)
			}
		}
		b.fields = append(b.fields, f)
	}
	return nil
}

func (o *options) add(word string) error {
	switch word {
	case "":
	case "nonnil":
		o.nonnil = true
	case "set":
		o.set = true
	case "inline":
		o.inline = true
	case "sorted":
		o.sorted = true
	default:
		n, ok := strings.CutPrefix(word, "table=")
		if !ok {
			return fmt.Errorf("unknown option %q", word)
		}
		size, err := strconv.Atoi(n)
		if err != nil || size&(size-1) != 0 {
			return fmt.Errorf("%q is not a power of two", n)
		}
		o.table = size
	}
	return nil
}

// fold is the form in which fastjson compares names that do not match exactly:
// without case, '_' and '-'.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}
