package message

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func sample() *Message {
	return &Message{
		Topic: "TopicTest", QueueID: 3, Flag: 7, Body: []byte("hello"),
		Properties: []byte("TAGS\x01TagA\x02KEYS\x01k1 k2\x02"), BornTimestamp: 1700000000000,
		BornHost: netip.MustParseAddrPort("127.0.0.1:5000"), StoreTimestamp: 1700000000123,
		StoreHost: netip.MustParseAddrPort("10.1.2.3:10911"), ReconsumeTimes: 2,
		PreparedTransactionOffset: 99, QueueOffset: 12, PhyOffset: 1 << 40,
	}
}

func TestAppend_DecodeGivesTheSame(t *testing.T) {
	long := sample()
	long.Topic = strings.Repeat("t", 128)
	v6 := sample()
	v6.BornHost = netip.MustParseAddrPort("[2001:db8::1]:65535")
	v6.StoreHost = netip.MustParseAddrPort("[::1]:10911")
	empty := &Message{Topic: "x"}
	for _, m := range []*Message{sample(), long, v6, empty} {
		l, err := Measure(m, false)
		require.NoError(t, err)
		rec, err := Append([]byte("x"), m)
		require.NoError(t, err)
		rec = rec[1:]
		size := l.Size()
		require.Len(t, rec, size)
		var d Message
		n, err := Decode(append(rec[:size:size], "next"...), &d, true)
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.Equal(t, m.Topic, d.Topic)
		require.Equal(t, string(m.Properties), string(d.Properties))
		again, err := Append(nil, &d)
		require.NoError(t, err)
		require.Equal(t, rec, again)
	}
}

func TestAppend_MappedAddressIsIPv4(t *testing.T) {
	m := sample()
	m.BornHost = netip.MustParseAddrPort("[::ffff:127.0.0.1]:5000")
	a, err := Append(nil, m)
	require.NoError(t, err)
	b, err := Append(nil, sample())
	require.NoError(t, err)
	require.Equal(t, b, a)
}

func TestAppend_TooLarge(t *testing.T) {
	m := sample()
	m.Properties = make([]byte, 32768)
	_, err := Append(nil, m)
	require.ErrorIs(t, err, ErrTooLarge)
	m.Properties = bytes.Repeat([]byte("x"), 32767-20)
	_, err = Append(nil, m)
	require.NoError(t, err)
	_, err = AppendCRC(nil, m) // one separator too much
	require.ErrorIs(t, err, ErrTooLarge)
	m = sample()
	m.Topic = strings.Repeat("t", 32768)
	_, err = Measure(m, false)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestPatchOffsets(t *testing.T) {
	for _, born := range []string{"127.0.0.1:1", "[2001:db8::1]:2"} {
		m := sample()
		m.BornHost = netip.MustParseAddrPort(born)
		rec, err := Append(nil, m)
		require.NoError(t, err)
		PatchOffsets(rec, 5, math.MaxInt64, 42)
		m.QueueOffset, m.PhyOffset, m.StoreTimestamp = 5, math.MaxInt64, 42
		want, err := Append(nil, m)
		require.NoError(t, err)
		require.Equal(t, want, rec)
	}
}

func TestCRCProperty(t *testing.T) {
	m := sample()
	m.Properties = []byte("TAGS\x01TagA") // the last separator is missing
	rec, err := AppendCRC(nil, m)
	require.NoError(t, err)
	l, err := Measure(m, true)
	require.NoError(t, err)
	require.Len(t, rec, l.Size())
	PatchOffsets(rec, 1, 2, 3)
	PatchCRC(rec)
	require.NoError(t, CheckCRC(rec))
	var d Message
	_, err = Decode(rec, &d, true)
	require.NoError(t, err)
	tag, _ := Get(d.Properties, PropertyTags)
	require.Equal(t, "TagA", tag)
	rec[posQueueOffset]++
	require.ErrorIs(t, CheckCRC(rec), ErrCorrupt)
	plain, err := Append(nil, sample())
	require.NoError(t, err)
	require.NoError(t, CheckCRC(plain), "a record without the property passes")
}

func TestDecode_EveryCutIsCorrupt(t *testing.T) {
	rec, err := Append(nil, sample())
	require.NoError(t, err)
	var m Message
	for n := range rec {
		_, err := Decode(rec[:n], &m, false)
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	_, err = Decode(make([]byte, 100), &m, false)
	require.ErrorIs(t, err, ErrCorrupt, "nothing was written")
	rec[88] ^= 1 // first byte of the body
	_, err = Decode(rec, &m, true)
	require.ErrorContains(t, err, "checksum")
	n, err := Decode([]byte{0, 0, 1, 0, 0xCB, 0xD4, 0x31, 0x94}, &m, true)
	require.ErrorIs(t, err, ErrBlank)
	require.Equal(t, 256, n)
}

func TestBatchBody(t *testing.T) {
	var body []byte
	var err error
	want := []BatchEntry{{Flag: 1, Body: []byte("a"), Properties: []byte("k\x01v\x02")}, {Body: []byte{}, Properties: []byte{}}}
	for _, e := range want {
		body, err = AppendBatchEntry(body, e)
		require.NoError(t, err)
	}
	var got []BatchEntry
	require.NoError(t, DecodeBatchBody(body, func(e BatchEntry) error { got = append(got, e); return nil }))
	require.Equal(t, want, got)
	require.ErrorIs(t, DecodeBatchBody(body[:len(body)-1], func(BatchEntry) error { return nil }), ErrCorrupt)
	require.ErrorIs(t, DecodeBatchBody(body, func(BatchEntry) error { return ErrBlank }), ErrBlank)
}

// The cases follow MessageDecoder.string2messageProperties.
func TestProperties_OddTexts(t *testing.T) {
	for in, want := range map[string]Properties{
		"":                               nil,
		"a\x01b":                         {{"a", "b"}},
		"a\x01b\x02":                     {{"a", "b"}},
		"\x01b\x02c\x01d":                {{"c", "d"}},
		"a\x01\x02c\x01d\x02":            {{"c", "d"}},
		"ab\x02c\x01d\x02":               {{"c", "d"}},
		"a\x01b\x01c\x02":                {{"a", "b\x01c"}},
		"a\x01b\x02a\x01c\x02d\x01e\x02": {{"a", "c"}, {"d", "e"}},
	} {
		require.Equal(t, want, ParseProperties([]byte(in)), "%q", in)
		for _, p := range want {
			v, ok := Get([]byte(in), p.Name)
			require.True(t, ok)
			require.Equal(t, p.Value, v)
		}
	}
}

func TestProperties_Change(t *testing.T) {
	ps := ParseProperties([]byte("a\x01b\x02c\x01d\x02"))
	ps.Set("a", "x")
	ps.Set("n", "y")
	require.True(t, ps.Delete("c"))
	require.False(t, ps.Delete("c"))
	require.Equal(t, "a\x01x\x02n\x01y\x02", string(ps.Append(nil)))
	require.Equal(t, "a\x01b\x02c\x01d\x02", string(AppendProperty([]byte("a\x01b"), "c", "d")))
	_, ok := ps.Get("c")
	require.False(t, ok)
	_, ok = Get([]byte("KEYS2\x01v\x02"), "KEYS")
	require.False(t, ok)
}

func TestOffsetMessageID(t *testing.T) {
	for host, want := range map[string]string{
		"10.1.2.3:10911":      "0A01020300002A9F0000000000000400",
		"[2001:db8::1]:10911": "20010DB800000000000000000000000100002A9F0000000000000400",
	} {
		addr := netip.MustParseAddrPort(host)
		require.Equal(t, want, OffsetMessageID(addr, 1024))
		for _, id := range []string{want, strings.ToLower(want)} {
			h, phy, err := ParseOffsetMessageID(id)
			require.NoError(t, err)
			require.Equal(t, addr, h)
			require.Equal(t, int64(1024), phy)
		}
	}
	for _, id := range []string{"", "abc", strings.Repeat("G", 32), "0A010203FFFFFFFF0000000000000400"} {
		_, _, err := ParseOffsetMessageID(id)
		require.ErrorIs(t, err, ErrMessageID, id)
	}
}

// Values from java.lang.String.hashCode.
func TestTagsHash(t *testing.T) {
	for tag, want := range map[string]int64{"": 0, "TagA": 2598919, "polygenelubricants": -2147483648, "größe": 98762257, "a\U0001F600b": 57849694} {
		require.Equal(t, want, TagsHash(tag), tag)
	}
}

func TestSysFlags(t *testing.T) {
	f := SysFlagCompressed | SysFlagPrepared
	require.Equal(t, SysFlagPrepared, TransactionType(f))
	require.Equal(t, SysFlagCompressed|SysFlagRollback, WithTransactionType(f, SysFlagRollback))
}

func ExampleAppend() {
	m := &Message{Topic: "TopicTest", Body: []byte("hello"), StoreHost: netip.MustParseAddrPort("10.0.0.1:10911")}
	m.Properties = AppendProperty(m.Properties, PropertyTags, "TagA")
	rec, err := Append(nil, m)
	PatchOffsets(rec, 7, 1024, 1700000000000) // when it has its place in the log
	var back Message
	n, _ := Decode(rec, &back, true)
	tag, _ := Get(back.Properties, PropertyTags)
	fmt.Println(n == len(rec), err, back.QueueOffset, tag, OffsetMessageID(back.StoreHost, back.PhyOffset))
	// Output: true <nil> 7 TagA 0A00000100002A9F0000000000000400
}

// Shape agrees with Decode about every record of which one byte was changed, and
// about every piece of one.
func TestShape_AgreesWithDecode(t *testing.T) {
	long := sample()
	long.Topic = strings.Repeat("t", 200)
	v6 := sample()
	v6.BornHost = netip.MustParseAddrPort("[2001:db8::1]:1")
	v6.StoreHost = netip.MustParseAddrPort("[2001:db8::2]:2")
	for _, m := range []*Message{sample(), long, v6} {
		rec, err := Append(nil, m)
		require.NoError(t, err)
		body, whole := Shape(rec)
		require.True(t, whole)
		require.Equal(t, m.Body, body)
		require.Equal(t, CRC(body), BodyCRC(rec))
		agree := func(rec []byte, what string, n int) {
			var d Message
			size, err := Decode(rec, &d, false)
			_, whole := Shape(rec)
			require.Equal(t, err == nil && size == len(rec), whole, "%s %d: %v", what, n, err)
		}
		for n := range rec {
			agree(rec[:n], "bytes", n)
			for _, flip := range []byte{1, 0x10, 0x80, 0xFF} {
				rec[n] ^= flip
				agree(rec, "flipped byte", n)
				rec[n] ^= flip
			}
		}
		agree(append(rec, 0), "too long by one after", len(rec))
	}
}

func TestAppend_DoesNotAllocate(t *testing.T) {
	m, dst := sample(), make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := Append(dst, m); err != nil {
			t.Fatal(err)
		}
	}))
	rec, _ := Append(dst, m)
	var d Message
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := Decode(rec, &d, true); err != nil {
			t.Fatal(err)
		}
		Get(d.Properties, PropertyTags)
	}))
}

func BenchmarkAppend(b *testing.B) {
	m, dst := sample(), make([]byte, 0, 4096)
	m.Body = make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Append(dst, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	m := sample()
	m.Body = make([]byte, 128)
	rec, err := Append(nil, m)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(rec, m, true); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode: no panic, and an accepted record is written again with the same
// bytes, its version (V2 with a short topic) and body checksum aside.
func FuzzDecode(f *testing.F) {
	rec, _ := Append(nil, sample())
	f.Add(rec)
	v6 := sample()
	v6.BornHost = netip.MustParseAddrPort("[2001:db8::1]:2")
	rec, _ = Append(nil, v6)
	f.Add(rec)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		n, err := Decode(b, &m, true)
		if err != nil || len(m.Topic) <= maxTopicV1 && b[7] == byte(MagicV2&0xFF) {
			return
		}
		again, err := Append(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		// ports are 16 bits here and 32 in the record
		var d Message
		if _, err := Decode(again, &d, true); err != nil || len(again) != n {
			t.Fatalf("%v: %q became %q", err, b[:n], again)
		}
		d.BornHost, d.StoreHost = m.BornHost, m.StoreHost
		d.Body, d.Properties, m.Body, m.Properties = nil, nil, nil, nil
		if d.Topic != m.Topic || d.PhyOffset != m.PhyOffset || d.SysFlag != m.SysFlag {
			t.Fatalf("%+v became %+v", m, d)
		}
	})
}

// FuzzBatchBody: no panic, and accepted entries read the same after writing.
func FuzzBatchBody(f *testing.F) {
	e, _ := AppendBatchEntry(nil, BatchEntry{Flag: 1, Body: []byte("a"), Properties: []byte("k\x01v\x02")})
	f.Add(append(e, e...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		n := 0
		err := DecodeBatchBody(b, func(e BatchEntry) error {
			n++
			var err error
			again, err = AppendBatchEntry(again, e)
			return err
		})
		if err != nil {
			return
		}
		if len(again) != len(b) {
			t.Fatalf("%d entries: %q became %q", n, b, again)
		}
	})
}

// FuzzProperties: no panic, and the parsed pairs are what Get finds.
func FuzzProperties(f *testing.F) {
	f.Add([]byte("a\x01b\x02c\x01d\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ps := ParseProperties(b)
		text := ps.Append(nil)
		for _, p := range ps {
			for _, props := range [][]byte{b, text} {
				if v, ok := Get(props, p.Name); !ok || v != p.Value {
					t.Fatalf("%q: %q is %q, want %q", props, p.Name, v, p.Value)
				}
			}
		}
	})
}

// FuzzMessageID: no panic, and an accepted id is written again.
func FuzzMessageID(f *testing.F) {
	f.Add("0A01020300002A9F0000000000000400")
	f.Fuzz(func(t *testing.T, id string) {
		host, phy, err := ParseOffsetMessageID(id)
		if err != nil || host.Addr().Is4In6() {
			return
		}
		if again := OffsetMessageID(host, phy); again != strings.ToUpper(id) {
			t.Fatalf("%q became %q", id, again)
		}
	})
}
