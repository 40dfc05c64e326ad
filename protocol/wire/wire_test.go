package wire

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// frameOf builds what Decode takes: header word, header, body.
func frameOf(enc Encoding, header, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(enc)<<24|uint32(len(header)))
	return append(append(b, header...), body...)
}

func TestDecode_UsualJSON(t *testing.T) {
	var c Command
	header := `{"code":310,"extFields":{"a":"group","i":"KEYS\u0001k\u0002","n":null},"flag":2,"language":"GO","opaque":-7,"remark":"","serializeTypeCurrentRPC":"JSON","version":317}`
	require.NoError(t, Decode(frameOf(JSON, header, "body"), &c))
	require.Equal(t, []Field{{"a", "group"}, {"i", "KEYS\x01k\x02"}}, c.Ext)
	require.True(t, c.HasExt && c.HasRemark && c.IsOneway())
	require.False(t, c.IsResponse())
	require.Equal(t, []any{int32(310), int32(-7), Go, int32(317), "", "body"},
		[]any{c.Code, c.Opaque, c.Language, c.Version, c.Remark, string(c.Body)})
	_, ok := c.Lookup("n")
	require.False(t, ok, "a null value is an absent field")
}

// The right-hand sides were recorded from RemotingCommand.decode of 5.3.3.
func TestDecode_UnusualJSONAsJava(t *testing.T) {
	for _, tc := range []struct {
		header string
		want   Command
	}{
		{`{"code":10,"extFields":{"a":1,"b":{"x":[1,2]},"c":null,"d":true,"e":1.50},"foo":{"a":1},"flag":0,"language":"FOO","opaque":1,"version":317}`,
			Command{Code: 10, Language: LanguageUnknown, Version: 317, Opaque: 1, HasExt: true,
				Ext: []Field{{"a", "1"}, {"b", `{"x":[1,2]}`}, {"d", "true"}, {"e", "1.50"}}}},
		{`{"code":"10","language":9,"version":"317","flag":null}`, Command{Code: 10, Language: Go, Version: 317}},
		{`{"code":10.5}`, Command{Code: 10}},
		{`{"code":true}`, Command{Code: 1}},
		{`{"code":1e1}`, Command{Code: 10}},
		{`{"code":""}`, Command{}},
		{`{"code":10,"remark":5}`, Command{Code: 10, Remark: "5", HasRemark: true}},
		{`{"code":10,"remark":{"a":1}}`, Command{Code: 10, Remark: `{"a":1}`, HasRemark: true}},
		{` {"code" : 10 , "opaque":	-5} `, Command{Code: 10, Opaque: -5}},
		{`{"language":"go"}`, Command{Language: Go}},
		{`{"code":10,"code":11}`, Command{Code: 11}},
		{`{}`, Command{}},
		{`{"code":10,"body":"AAA=","suspended":true}`, Command{Code: 10}},
	} {
		var c Command
		require.NoError(t, Decode(frameOf(JSON, tc.header, ""), &c), tc.header)
		c.scratch = nil
		if len(c.Ext) == 0 {
			c.Ext = nil
		}
		require.Equal(t, tc.want, c, tc.header)
	}
}

func TestDecode_BadFrames(t *testing.T) {
	for name, frame := range map[string][]byte{
		"empty":            {},
		"short word":       {0, 0, 0},
		"header too long":  {0, 0, 0, 9, '{', '}'},
		"unknown encoding": {2, 0, 0, 0},
		"array":            frameOf(JSON, `[]`, ""),
		"null":             frameOf(JSON, `null`, ""),
		"no header":        frameOf(JSON, ``, "body"),
		"trailing":         frameOf(JSON, `{"code":10} x`, ""),
		"cut":              frameOf(JSON, `{"code":10`, ""),
		"ext array":        frameOf(JSON, `{"extFields":[]}`, ""),
		"big opaque":       frameOf(JSON, `{"opaque":4294967296}`, ""),
		"binary short":     frameOf(Binary, strings.Repeat("\x00", 20), ""),
		"binary remark":    frameOf(Binary, strings.Repeat("\x00", 13)+"\x00\x00\x00\x09"+"\x00\x00\x00\x00", ""),
		"negative remark":  frameOf(Binary, strings.Repeat("\x00", 13)+"\xff\xff\xff\xff"+"\x00\x00\x00\x00", ""),
		"binary ext":       frameOf(Binary, strings.Repeat("\x00", 17)+"\x00\x00\x00\x09", ""),
		"binary key":       frameOf(Binary, strings.Repeat("\x00", 17)+"\x00\x00\x00\x02\x00\x05", ""),
		"binary value":     frameOf(Binary, strings.Repeat("\x00", 17)+"\x00\x00\x00\x03\x00\x01k", ""),
	} {
		var c Command
		require.ErrorIs(t, Decode(frame, &c), ErrFrame, name)
	}
}

func TestAppendHead_RoundTrip(t *testing.T) {
	for _, enc := range []Encoding{JSON, Binary} {
		o := Outgoing{Code: 10, Language: Go, Version: 479, Opaque: -3, Flag: FlagResponse,
			Remark: "a\"\x01b", HasRemark: true, Ext: []Field{{"k", "v\x02\u2028"}, {"e", ""}}, Encoding: enc}
		frame := AppendHead([]byte("before"), &o, 4)[len("before"):]
		frame = append(frame, "body"...)
		require.Equal(t, uint32(len(frame)-4), binary.BigEndian.Uint32(frame))
		var c Command
		require.NoError(t, Decode(frame[4:], &c))
		require.Equal(t, enc, c.Encoding)
		require.Equal(t, []any{o.Code, o.Language, o.Version, o.Opaque, o.Flag, o.Remark, true, "body"},
			[]any{c.Code, c.Language, c.Version, c.Opaque, c.Flag, c.Remark, c.HasRemark, string(c.Body)})
		v, _ := c.Lookup("k")
		require.Equal(t, "v\x02\u2028", v)
		_, ok := c.Lookup("e")
		require.Equal(t, enc == JSON, ok, "the binary header reads an empty value as absent")
	}
}

// The binary header has 16 bits for the code; Java cuts POP_MESSAGE, 200050, to
// 3442 and its server then knows no such request.
func TestAppendHead_BinaryCutsPopCodesAsJava(t *testing.T) {
	frame := AppendHead(nil, &Outgoing{Code: 200050, Encoding: Binary}, 0)
	var c Command
	require.NoError(t, Decode(frame[4:], &c))
	require.Equal(t, int32(3442), c.Code)
}

func TestClone_SharesNothing(t *testing.T) {
	frame := frameOf(JSON, `{"code":1,"extFields":{"key":"va\u006cue"},"remark":"why"}`, "body")
	var c Command
	require.NoError(t, Decode(frame, &c))
	d := c.Clone()
	clear(frame)
	clear(c.scratch[:cap(c.scratch)])
	require.Equal(t, []any{"why", []Field{{"key", "value"}}, "body"}, []any{d.Remark, d.Ext, string(d.Body)})
}

func TestDecode_OddFramePinsNoMemory(t *testing.T) {
	var c Command
	many := `{"extFields":{` + strings.Repeat(`"k":"\u0041 and more text",`, MaxFields-1) + `"l":"x"}}`
	require.NoError(t, Decode(frameOf(JSON, many, ""), &c))
	require.Len(t, c.Ext, MaxFields)
	require.NoError(t, Decode(frameOf(JSON, `{}`, ""), &c))
	require.LessOrEqual(t, cap(c.Ext), keptExt)
	require.LessOrEqual(t, cap(c.scratch), keptScratch)
}

// A field that comes twice has its last value, as in Java's map.
func TestLookup_LastOneCounts(t *testing.T) {
	c := Command{Ext: []Field{{"a", "1"}, {"a", "2"}}}
	v, ok := c.Lookup("a")
	require.True(t, ok)
	require.Equal(t, "2", v)
	_, ok = c.Lookup("b")
	require.False(t, ok)
}

func ExampleDecode() {
	out := AppendHead(nil, &Outgoing{Code: 105, Language: Go, Version: 479, Opaque: 1,
		Ext: []Field{{"topic", "TopicTest"}}}, 0)
	var c Command
	err := Decode(out[4:], &c) // without the total length
	topic, _ := c.Lookup("topic")
	fmt.Println(c.Code, c.Language, topic, err)
	// Output: 105 GO TopicTest <nil>
}

func TestParseNumbers_JavaRules(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "+5": 5, "-5": -5, "007": 7,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
		v, err := ParseInt64(text)
		require.NoError(t, err, text)
		require.Equal(t, want, v)
	}
	for _, text := range []string{"", " 1", "1 ", "+", "-", "1.0", "0x1", "1_0", "9223372036854775808",
		"-9223372036854775809", "99999999999999999999"} {
		_, err := ParseInt64(text)
		require.ErrorContains(t, err, "For input string", text)
	}
	_, err := ParseInt32("2147483648")
	require.Error(t, err)
	v, err := ParseInt32("-2147483648")
	require.NoError(t, err)
	require.Equal(t, int32(-1<<31), v)
	require.True(t, ParseBool("tRuE"))
	require.False(t, ParseBool("yes") || ParseBool("true "))
}

func TestDecode_DoesNotAllocate(t *testing.T) {
	for _, frame := range [][]byte{
		frameOf(JSON, sendHeader, "body"),
		frameOf(Binary, strings.Repeat("\x00", 17)+"\x00\x00\x00\x08\x00\x01k\x00\x00\x00\x01v", "body"),
	} {
		var c Command
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if err := Decode(frame, &c); err != nil {
				t.Fatal(err)
			}
		}))
	}
}

func TestAppendHead_DoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	o := &Outgoing{Code: 0, Remark: "x", HasRemark: true, Ext: []Field{{"a", "b"}}}
	require.Zero(t, testing.AllocsPerRun(100, func() { AppendHead(dst, o, 10) }))
}

// sendHeader is what a Java 5.3.3 producer sends for one message.
const sendHeader = `{"code":310,"extFields":{"a":"please_rename_unique_group_name","b":"TopicTest","c":"TBW102","d":"4","e":"1","f":"0","g":"1700000000000","h":"0","i":"UNIQ_KEY\u00017F0000010BF3251A69D73B3C3A5E0000\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002","j":"0","k":"false","m":"false","n":"broker-a"},"flag":0,"language":"JAVA","opaque":12,"serializeTypeCurrentRPC":"JSON","version":479}`

func BenchmarkDecode_JSONSend(b *testing.B) {
	frame := frameOf(JSON, sendHeader, strings.Repeat("x", 128))
	var c Command
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(frame, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode_BinarySend(b *testing.B) {
	var c Command
	if err := Decode(frameOf(JSON, sendHeader, ""), &c); err != nil {
		b.Fatal(err)
	}
	frame := AppendHead(nil, &Outgoing{Code: 310, Ext: c.Ext, Encoding: Binary}, 0)[4:]
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(frame, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendHead_JSON(b *testing.B) {
	o := &Outgoing{Flag: 1, Ext: []Field{{"msgId", "7F0000010BF3251A69D73B3C3A5E0000"}, {"queueId", "1"}, {"queueOffset", "123456"}}}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		AppendHead(dst, o, 0)
	}
}

// FuzzDecode: no panic, and what was accepted can be written and read again.
func FuzzDecode(f *testing.F) {
	f.Add(frameOf(JSON, sendHeader, "body"))
	f.Add(frameOf(JSON, `{"code":"1","extFields":{"a":[1,{"b":2}]}}`, ""))
	f.Add(AppendHead(nil, &Outgoing{Code: 1, Ext: []Field{{"a", "b"}}, Encoding: Binary}, 0)[4:])
	f.Fuzz(func(t *testing.T, frame []byte) {
		var c Command
		if Decode(frame, &c) != nil {
			return
		}
		o := Outgoing{Code: c.Code, Language: c.Language, Version: c.Version, Opaque: c.Opaque, Flag: c.Flag,
			Remark: c.Remark, HasRemark: c.HasRemark, Ext: c.Ext, Encoding: c.Encoding}
		again := append(AppendHead(nil, &o, len(c.Body)), c.Body...)
		var d Command
		if err := Decode(again[4:], &d); err != nil {
			t.Fatalf("written frame does not read: %v\n%q", err, again)
		}
		if d.Code != c.Code || d.Opaque != c.Opaque || d.Flag != c.Flag || len(d.Ext) != len(c.Ext) || len(d.Body) != len(c.Body) {
			t.Fatalf("%+v became %+v", c, d)
		}
	})
}

// FuzzFastAndSlowAgree: a header that the scanner takes means the same to the slow
// reader.
func FuzzFastAndSlowAgree(f *testing.F) {
	f.Add(sendHeader)
	f.Add(`{"code":105,"language":"GO","version":317,"opaque":1,"flag":0,"remark":"","extFields":{"topic":"T"}}`)
	f.Add(` {"extFields" : null , "remark":null,"code":-5}`)
	f.Add(`{"extFields":{"a":"\u0041\ud83d\ude00\ud83d"},"extFields":{}}`)
	f.Fuzz(func(t *testing.T, header string) {
		var fast, slow Command
		s := scanner{b: []byte(header), c: &fast}
		if !s.command() || !utf8.ValidString(header) {
			return
		}
		if err := slow.decodeJSONSlow([]byte(header)); err != nil {
			if strings.Contains(err.Error(), "leading zero") {
				return // 05 is a number for Java, and for the scanner
			}
			t.Fatalf("%q: only the fast reader takes it: %v", header, err)
		}
		fast.scratch = nil
		if len(fast.Ext) == 0 && len(slow.Ext) == 0 {
			fast.Ext, slow.Ext = nil, nil
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q:\nfast %+v\nslow %+v", header, fast, slow)
		}
	})
}

// A frame of empty fields costs its reader a multiple of its bytes: it is refused
// once it has more of them than any request has, in each of the readers.
func TestDecode_TooManyFields(t *testing.T) {
	json := func(field string, n int) []byte {
		return frameOf(JSON, `{"code":10,"extFields":{`+strings.TrimSuffix(strings.Repeat(field+",", n), ",")+`}}`, "")
	}
	binaryHeader := func(n int) []byte {
		h := append(make([]byte, 17), 0, 0, 0, 0)
		entries := strings.Repeat("\x00\x01k\x00\x00\x00\x01v", n)
		binary.BigEndian.PutUint32(h[17:], uint32(len(entries)))
		return frameOf(Binary, string(h)+entries, "")
	}
	for name, of := range map[string]func(int) []byte{
		"fast":   func(n int) []byte { return json(`"":""`, n) },
		"slow":   func(n int) []byte { return json(`"":1`, n) },
		"binary": binaryHeader,
	} {
		var c Command
		require.NoError(t, Decode(of(MaxFields), &c), name)
		require.Len(t, c.Ext, MaxFields, name)
		require.ErrorIs(t, Decode(of(MaxFields+1), &c), ErrFrame, name)
		huge := of(1 << 20)
		most := testing.AllocsPerRun(1, func() { _ = Decode(huge, &c) })
		require.Less(t, most, float64(4*MaxFields), "%s: what is decoded is bounded by fields, not by bytes", name)
	}
}

// Depth is refused before anything is read with a stack that grows with it; brackets in
// strings are none.
func TestDecode_Deep(t *testing.T) {
	header := func(n int) []byte {
		return frameOf(JSON, `{"code":34,"extFields":{"a":`+strings.Repeat("[", n)+`"[[{\"["`+strings.Repeat("]", n)+`}}`, "")
	}
	var c Command
	require.NoError(t, Decode(header(maxDepth-2), &c))
	require.Len(t, c.Ext, 1)
	for _, n := range []int{maxDepth - 1, 9000, 1 << 20} {
		require.ErrorContains(t, Decode(header(n), &c), "nested more than 64 deep")
	}
	text := strings.Repeat("[{", 100)
	require.NoError(t, Decode(frameOf(JSON, `{"code":34.0,"remark":"`+text+`\"\\"}`, ""), &c))
	require.Equal(t, text+`"\`, c.Remark)
}
