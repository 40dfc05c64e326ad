package wire

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// primed is a Decoder that has a template made of a header.
func primed(t testing.TB, header string) *Decoder {
	d := new(Decoder)
	var c Command
	for range templateAfter + 2 {
		require.NoError(t, d.Decode(frameOf(JSON, header, ""), &c))
	}
	return d
}

// requireSame compares what the Decoder makes of a frame with what Decode does.
func requireSame(t testing.TB, d *Decoder, frame []byte) {
	t.Helper()
	var want, got Command
	wantErr, gotErr := Decode(frame, &want), d.Decode(frame, &got)
	require.Equal(t, wantErr == nil, gotErr == nil, "%q: %v, %v", frame, wantErr, gotErr)
	if wantErr != nil {
		return
	}
	want.scratch, got.scratch = nil, nil
	if len(want.Ext) == 0 && len(got.Ext) == 0 {
		want.Ext, got.Ext = nil, nil
	}
	require.True(t, reflect.DeepEqual(want, got), "%q:\nwant %+v\ngot  %+v", frame, want, got)
}

func TestDecoder_ReadsWhatChanges(t *testing.T) {
	d := primed(t, sendHeader)
	require.NotNil(t, d.t)
	hits := 0
	for i := range 200 {
		h := strings.Replace(sendHeader, `"opaque":12,`, fmt.Sprintf(`"opaque":%d,`, i*7919-1000), 1)
		h = strings.Replace(h, `"e":"1"`, fmt.Sprintf(`"e":"%d"`, i%17), 1)
		h = strings.Replace(h, "TopicTest", strings.Repeat("T", 1+i%40), 1)
		h = strings.Replace(h, "3A5E0000", fmt.Sprintf("3A5E%04X", i), 1)
		before := d.misses
		requireSame(t, d, frameOf(JSON, h, strings.Repeat("b", i%5)))
		if d.misses == before {
			hits++
		}
	}
	require.Equal(t, 200, hits, "none is read from the start")
}

func TestDecoder_AnotherShape(t *testing.T) {
	others := []string{
		`{}`, ``, `{`, `{"code":34,"extFields":null,"flag":0,"language":"JAVA","opaque":1,"version":479}`,
		strings.Replace(sendHeader, `"c":"TBW102"`, `"c":null`, 1),
		strings.Replace(sendHeader, `"c":"TBW102"`, `"c":"x\"y"`, 1),
		strings.Replace(sendHeader, `"c":"TBW102",`, ``, 1),
		strings.Replace(sendHeader, `"c":"TBW102"`, `"c":"TBW102","c":"again"`, 1),
		strings.Replace(sendHeader, `"c":"TBW102"`, `"c":"TBW102`, 1),
		strings.Replace(sendHeader, `"opaque":12`, `"opaque": 12 `, 1),
		strings.Replace(sendHeader, `"opaque":12`, `"opaque":12.0`, 1),
		strings.Replace(sendHeader, `"opaque":12`, `"opaque":99999999999`, 1),
		strings.Replace(sendHeader, `"language":"JAVA"`, `"language":"GO"`, 1),
		strings.Replace(sendHeader, `"code":310`, `"code":31`, 1),
		sendHeader + " ", sendHeader + "x", sendHeader[:len(sendHeader)-1],
	}
	for _, first := range append(others, sendHeader) {
		var c Command
		if Decode(frameOf(JSON, first, ""), &c) != nil {
			continue
		}
		d := primed(t, first)
		for range 3 {
			for _, h := range append(others, sendHeader) {
				requireSame(t, d, frameOf(JSON, h, "body"))
			}
		}
	}
}

func TestDecoder_MadeAnewForAnotherShape(t *testing.T) {
	d := primed(t, sendHeader)
	old := d.t
	other := `{"code":11,"extFields":{"topic":"T","queueId":"3"},"flag":0,"language":"JAVA","opaque":5,"version":479}`
	for range templateMisses {
		requireSame(t, d, frameOf(JSON, other, ""))
	}
	require.Same(t, old, d.t, "a few of another kind change nothing")
	requireSame(t, d, frameOf(JSON, sendHeader, ""))
	for range templateAfter + 1 {
		requireSame(t, d, frameOf(JSON, other, ""))
	}
	require.NotSame(t, old, d.t)
}

func TestDecoder_SpoiledHeaders(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 2))
	d := primed(t, sendHeader)
	for range 20_000 {
		h := []byte(sendHeader)
		for range 1 + rnd.IntN(2) {
			switch at := rnd.IntN(len(h)); rnd.IntN(3) {
			case 0:
				h[at] = `0"\{},:x u1`[rnd.IntN(11)]
			case 1:
				h = append(h[:at], h[at+1:]...)
			default:
				h = append(h[:at], append([]byte(`"`), h[at:]...)...)
			}
		}
		requireSame(t, d, frameOf(JSON, string(h), ""))
		requireSame(t, d, frameOf(JSON, sendHeader, ""))
	}
}

// What was decoded stays as it is when the template changes.
func TestDecoder_StringsStay(t *testing.T) {
	d := primed(t, sendHeader)
	var c Command
	frame := frameOf(JSON, sendHeader, "")
	require.NoError(t, d.Decode(frame, &c))
	kept := c.Clone()
	other := `{"code":11,"extFields":{"topic":"T","queueId":"3"},"flag":0,"language":"JAVA","opaque":5,"version":479}`
	for range 50 {
		var o Command
		require.NoError(t, d.Decode(frameOf(JSON, other, ""), &o))
	}
	require.Equal(t, kept.Ext, c.Ext)
}

func TestDecoder_DoesNotAllocate(t *testing.T) {
	d := primed(t, sendHeader)
	frame := frameOf(JSON, sendHeader, "body")
	var c Command
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := d.Decode(frame, &c); err != nil {
			t.Fatal(err)
		}
	}))
}

func BenchmarkDecoder_JSONSend(b *testing.B) {
	d := primed(b, sendHeader)
	var frames [][]byte
	for i := range 64 {
		h := strings.Replace(sendHeader, `"opaque":12,`, fmt.Sprintf(`"opaque":%d,`, 1000+i), 1)
		h = strings.Replace(h, `"e":"1"`, fmt.Sprintf(`"e":"%d"`, i%8), 1)
		h = strings.Replace(h, "1700000000000", fmt.Sprint(1700000000000+i), 1)
		h = strings.Replace(h, "3A5E0000", fmt.Sprintf("3A5E%04X", i), 1)
		frames = append(frames, frameOf(JSON, h, strings.Repeat("x", 128)))
	}
	var c Command
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(frames[i%64], &c); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecoder: whatever came before, a frame means the same as to Decode.
func FuzzDecoder(f *testing.F) {
	f.Add(sendHeader, strings.Replace(sendHeader, "TopicTest", "Other", 1))
	f.Add(`{"code":105,"extFields":{"topic":"T"}}`, `{"code":105,"extFields":{"topic":"\u0041"},"extFields":{}}`)
	f.Fuzz(func(t *testing.T, first, second string) {
		d := new(Decoder)
		for range templateAfter + 2 {
			requireSame(t, d, frameOf(JSON, first, ""))
		}
		for range 2 {
			requireSame(t, d, frameOf(JSON, second, ""))
			requireSame(t, d, frameOf(JSON, first, ""))
		}
	})
}

// Another template and another set of values for it all the time do not make a header
// cost many times what it costs to read it.
func TestDecoder_LearnsALittleFromEachHeader(t *testing.T) {
	header := func(value string) string {
		return `{"code":34,"extFields":{` + strings.Repeat(`"a":"`+value+`",`, 200) + `"a":""},"opaque":1}`
	}
	d := primed(t, header("1"))
	holes := func() (n int) {
		for _, p := range d.t.spans {
			if p.hole && p.ext >= 0 {
				n++
			}
		}
		return n
	}
	require.Zero(t, holes())
	requireSame(t, d, frameOf(JSON, header("2"), ""))
	require.Equal(t, maxLearned, holes())
	for i := 1; d.misses > 0; i++ {
		require.Less(t, i, 2*templateAfter)
		requireSame(t, d, frameOf(JSON, header("3"), ""))
	}
}
