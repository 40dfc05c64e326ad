package wire

import "slices"

// Encoding is the header encoding of a frame, its top byte in the header word
// (SerializeType).
type Encoding uint8

// Header encodings.
const (
	JSON   Encoding = 0 // JSON text
	Binary Encoding = 1 // ROCKETMQ binary header
)

// Bits of Command.Flag.
const (
	FlagResponse int32 = 1 // the command answers the request with the same opaque
	FlagOneway   int32 = 2 // nobody waits for an answer
)

// Field is one entry of extFields.
type Field struct{ Key, Value string }

// Command is one decoded frame. Every string and Body alias the frame they were
// decoded from (or the command's own scratch, for values that had escapes): they
// are valid until the owner of the frame reuses it. Clone detaches a command.
//
// The zero Command is ready for Decode, and Decode may be called again on the
// same Command: its slices are reused.
type Command struct {
	Code      int32    // request code, or response code when FlagResponse is set
	Language  Language // LanguageCode
	Version   int32    // MQVersion ordinal of the sender
	Opaque    int32    // correlation id
	Flag      int32    // FlagResponse, FlagOneway
	Remark    string   // meaningful when HasRemark
	HasRemark bool     // an absent and an empty remark differ
	HasExt    bool     // extFields was present, perhaps empty
	Encoding  Encoding // as received; an answer uses the same
	Ext       []Field  // extFields in the order of the frame
	Body      []byte   // may be empty

	scratch []byte // unescaped values
}

// IsResponse reports whether the command is an answer.
func (c *Command) IsResponse() bool { return c.Flag&FlagResponse != 0 }

// IsOneway reports whether nobody waits for an answer.
func (c *Command) IsOneway() bool { return c.Flag&FlagOneway != 0 }

// Lookup finds the value of an extFields entry; of two with the same key the last
// one counts, as in Java's map.
func (c *Command) Lookup(key string) (value string, ok bool) {
	for i := len(c.Ext) - 1; i >= 0; i-- {
		if c.Ext[i].Key == key {
			return c.Ext[i].Value, true
		}
	}
	return "", false
}

// Set gives an extFields entry a value, or adds the entry; Lookup and the headers find
// the new value from then on. The strings must live as long as the command.
func (c *Command) Set(key, value string) {
	for i := len(c.Ext) - 1; i >= 0; i-- {
		if c.Ext[i].Key == key {
			c.Ext[i].Value = value
			return
		}
	}
	c.Ext, c.HasExt = append(c.Ext, Field{Key: key, Value: value}), true
}

// Remove takes all extFields entries of a key out.
func (c *Command) Remove(key string) {
	c.Ext = slices.DeleteFunc(c.Ext, func(f Field) bool { return f.Key == key })
}

// FieldDecoder is a header struct that reads itself from extFields
// (CommandCustomHeader). Decoding follows Java: an absent field keeps its
// default, a badly formatted number is an error only where Java makes it one.
type FieldDecoder interface{ DecodeFields(c *Command) error }

// FieldEncoder is a header struct that writes its non-null fields as extFields.
type FieldEncoder interface{ EncodeFields(w *FieldWriter) }

// Outgoing is a command to be sent. The zero value of Language means Java (0);
// senders of this project fill Language and Version through their options.
type Outgoing struct {
	Code      int32
	Language  Language
	Version   int32
	Opaque    int32
	Flag      int32
	Remark    string // written when HasRemark
	HasRemark bool
	Header    FieldEncoder // may be nil
	Ext       []Field      // further entries after those of Header
	Encoding  Encoding
}
