package javaprops

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestParse_Positions(t *testing.T) {
	entries, err := Parse([]byte("# c\r\n\n a = b \\\n   c\n!x\nd:e\rf g\nh"), "broker.conf")
	require.NoError(t, err)
	require.Equal(t, []Entry{
		{"a", "b c", "broker.conf", 3}, {"d", "e", "broker.conf", 6}, {"f", "g", "broker.conf", 7}, {"h", "", "broker.conf", 8},
	}, entries)
	require.Equal(t, "broker.conf:6", entries[1].Pos())
}

func TestParse_BadEscape(t *testing.T) {
	for _, text := range []string{"a=1\nb=\\u12", `b\u00zz=1`} {
		_, err := Parse([]byte(text), "f")
		require.ErrorIs(t, err, ErrSyntax)
		require.ErrorContains(t, err, "f:")
	}
}

func TestFormatAndWrite(t *testing.T) {
	table := map[string]string{"b": `C:\x`, "a b": " = ", "ä": "line\nend\\"}
	require.Equal(t, "a b= = \nb=C:\\x\nä=line\nend\\\n", Format(table))
	entries, err := Parse([]byte(Write(table)), "f")
	require.NoError(t, err)
	require.Equal(t, table, Map(entries))
}

func ExampleParse() {
	entries, err := Parse([]byte("brokerName = broker-a\nlistenPort=10911"), "broker.conf")
	fmt.Println(entries[0].Key, entries[0].Value, err)
	fmt.Println(entries[1].Pos(), Map(entries)["listenPort"])
	// Output:
	// brokerName broker-a <nil>
	// broker.conf:2 10911
}

// FuzzParse: no panic, and what was read reads the same after writing.
func FuzzParse(f *testing.F) {
	f.Add("a=b\n c : d\\\n  e\n#x\n\\u00e4 f")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := Parse([]byte(text), "f")
		if err != nil || !utf8.ValidString(text) {
			return
		}
		table := Map(entries)
		again, err := Parse([]byte(Write(table)), "f")
		if err != nil {
			t.Fatal(err)
		}
		back := Map(again)
		if len(back) != len(table) {
			t.Fatalf("%q became %q", table, back)
		}
		for k, v := range table {
			if back[k] != v {
				t.Fatalf("%q: %q became %q", k, v, back[k])
			}
		}
	})
}
