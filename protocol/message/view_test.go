package message

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPropertyView_AsItCame(t *testing.T) {
	var v PropertyView
	v.Read("a\x01b\x02=\x02a\x01c") // a name twice, no pair, no last separator
	v.Add("n", "1")
	require.Equal(t, "a\x01b\x02=\x02a\x01c\x02n\x011\x02", string(v.Append(nil)))
	value, ok := v.Get("a")
	require.True(t, ok)
	require.Equal(t, "c", value)
	v.Set("a", "d")
	require.Equal(t, "a\x01d\x02n\x011\x02", string(v.Append(nil)), "now it is written as its pairs")
	v.Delete("n")
	v.Delete("a")
	require.Empty(t, v.Append(nil))
	_, ok = v.Get("a")
	require.False(t, ok)
	v.Set("a", "e")
	require.Equal(t, "a\x01e\x02", string(v.Append(nil)))
	v.Reset()
	require.Zero(t, v.Len())
	require.Empty(t, v.Append(nil))
}

// Whatever the text and the changes, a reader finds what a map of the pairs has after
// them.
func FuzzPropertyView(f *testing.F) {
	f.Add("a\x01b\x02c\x01d\x02a\x01e\x02", int64(1))
	f.Add("\x01\x02a\x01\x02\x02b", int64(2))
	f.Add(strings.Repeat("a\x01b\x02b\x01c\x02x", 40), int64(3))
	f.Fuzz(func(t *testing.T, text string, seed int64) {
		want := ParseProperties([]byte(text))
		var v PropertyView
		v.Read("left\x01over\x02")
		v.Set("left", "x")
		v.Read(text)
		rnd := rand.New(rand.NewSource(seed))
		names := []string{"a", "b", "c", "left"}
		if len(want) > 0 {
			names = append(names, want[rnd.Intn(len(want))].Name)
		}
		names = append(names[:0:0], names...)
		for range rnd.Intn(6) {
			name := strings.Clone(names[rnd.Intn(len(names))])
			if rnd.Intn(3) == 0 {
				v.Delete(name)
				want.Delete(name)
			} else {
				v.Set(name, "new")
				want.Set(name, "new")
			}
		}
		out := v.Append([]byte("kept"))
		require.Equal(t, "kept", string(out[:4]))
		got := ParseProperties(out[4:])
		require.Equal(t, len(want), len(got))
		for i, p := range want {
			require.Equal(t, p, got[i], "places are kept")
			value, ok := v.Get(p.Name)
			require.True(t, ok)
			require.Equal(t, p.Value, value)
		}
	})
}

func BenchmarkPropertyView(b *testing.B) {
	text := "UNIQ_KEY\x017F0000011234DEADBEEF000003E80001\x02WAIT\x01true\x02TAGS\x01TagA\x02KEYS\x01order-1\x02"
	var v PropertyView
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		v.Read(text)
		v.Add("MSG_REGION", "DefaultRegion")
		dst = v.Append(dst[:0])
	}
}
