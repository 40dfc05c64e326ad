package fastjson

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type color string

func (color) Names() []string { return []string{"RED", "GREEN"} }

type level uint8

func (level) Names() []string { return []string{"LOW", "HIGH"} }

const null = level(math.MaxUint8)

type point struct {
	X int32 `json:"x"`
	Y int32 `json:"y"`
}

func (p point) HashCode() int32          { return p.X*31 + p.Y }
func (p point) CompareKey(other any) int { return int(p.X - other.(point).X) }

type base struct {
	Name string `json:"name"`
}

func (b *base) SetDefaults() { b.Name = "none" }

type doc struct {
	base
	Num    int32            `json:"num"`
	Long   int64            `json:"long"`
	Flag   bool             `json:"flag"`
	Rate   float64          `json:"rate"`
	Ptr    *int64           `json:"ptr"`
	Color  color            `json:"color"`
	Level  level            `json:"level"`
	Bytes  []byte           `json:"bytes"`
	Tags   []string         `json:"tags" java:"set"`
	Always []string         `json:"always" java:"nonnil"`
	ByID   map[int64]string `json:"byId"`
	Points map[point]int64  `json:"points"`
	Tree   map[string]int32 `json:"tree" java:"sorted"`
	_      int
	Other  int `json:"-"`
}

// The texts were tried with fastjson 1.2.83.
func TestUnmarshal_Dialect(t *testing.T) {
	five := int64(5)
	for text, want := range map[string]doc{
		`{}`:                             {base: base{"none"}, Level: null},
		`{num:1,'name':'a"b',long:"7",}`: {base: base{`a"b`}, Num: 1, Long: 7, Level: null},
		"/* c */ {\"num\" : 5 // x\n , \"flag\":1}":               {base: base{"none"}, Num: 5, Flag: true, Level: null},
		`{"NUM":3,"by_id":{1:"a",2:"b"}}`:                         {base: base{"none"}, Num: 3, ByID: map[int64]string{1: "a", 2: "b"}, Level: null},
		`{"points":{{"x":1,"y":2}:3,{y:5,x:4}:6}}`:                {base: base{"none"}, Points: map[point]int64{{1, 2}: 3, {4, 5}: 6}, Level: null},
		`{"points":{"{\"x\":1,\"y\":2}":3}}`:                      {base: base{"none"}, Points: map[point]int64{{1, 2}: 3}, Level: null},
		`{"name":null,"num":null,"ptr":5,"unknown":[1,{"a":[]}]}`: {Ptr: &five, Level: null},
		`{"color":"green","level":1}`:                             {base: base{"none"}, Color: "GREEN", Level: 1},
		`{"color":0,"level":"LOW"}`:                               {base: base{"none"}, Color: "RED"},
		`{"color":"PINK","level":"HUGE"}`:                         {base: base{"none"}, Level: null},
		`{"tags":["a","b","a"],"bytes":"AQI="}`:                   {base: base{"none"}, Tags: []string{"a", "b"}, Bytes: []byte{1, 2}, Level: null},
		`{"long":5L,"num":1.9,"rate":"0.5"}`:                      {base: base{"none"}, Long: 5, Num: 1, Rate: 0.5, Level: null},
		`{"name":{"a":1},"flag":"true"}`:                          {base: base{`{"a":1}`}, Flag: true, Level: null},
		`{"name":"\x41\u0042\v\uD83D\uDE00\uD83Dx"}`:              {base: base{"AB\v\U0001F600?x"}, Level: null},
	} {
		var got doc
		require.NoError(t, Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
}

func TestUnmarshal_Errors(t *testing.T) {
	for _, text := range []string{"", "{", `{"num"}`, `{"num":}`, `{"num":1`, `{"num":1}x`, `{"num":2147483648}`,
		`{"num":"x"}`, `{"flag":"maybe"}`, `{"tags":{}}`, `{"byId":[]}`, `{"name":"a`, `{"name":"\q"}`, `{"bytes":"?"}`,
		`[1]`, `"text"`, `{"num":1 "long":2}`, `{"rate":"x"}`, `{"name":"\u12"}`,
		`{"unknown":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`} {
		var got doc
		require.ErrorIs(t, Unmarshal([]byte(text), &got), ErrSyntax, text)
	}
	require.ErrorIs(t, Unmarshal([]byte("{}"), doc{}), ErrSyntax)
}

func TestUnmarshal_MemoryIsBounded(t *testing.T) {
	var big []struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P string
	}
	require.ErrorContains(t, Unmarshal([]byte("["+strings.Repeat("{},", 100000)+"]"), &big), "for a document of")
	var few []string
	require.NoError(t, Unmarshal([]byte("["+strings.Repeat(`"",`, 100000)+"]"), &few))
	require.Len(t, few, 100000)
}

func TestMarshal_Forms(t *testing.T) {
	d := doc{base: base{"n/ä"}, Long: 1 << 53, ByID: map[int64]string{2: "b", 1: "a"},
		Points: map[point]int64{{1, 2}: 3}, Tree: map[string]int32{"b": 1, "a": 2}, Level: null, Rate: math.NaN()}
	compact, err := Marshal(&d)
	require.NoError(t, err)
	require.Equal(t, `{"always":[],"byId":{1:"a",2:"b"},"flag":false,"long":9007199254740992,"name":"n/ä","num":0,`+
		`"points":{{"x":1,"y":2}:3},"rate":null,"tree":{"a":2,"b":1}}`, string(compact))
	standard, err := Append(nil, &d, Standard)
	require.NoError(t, err)
	require.Equal(t, `{"always":[],"byId":{"1":"a","2":"b"},"flag":false,"long":"9007199254740992","name":"n\/\u00E4","num":0,`+
		`"points":{"{\"x\":1,\"y\":2}":3},"rate":null,"tree":{"a":2,"b":1}}`, string(standard))
	for _, text := range [][]byte{compact, standard} {
		var back doc
		require.NoError(t, Unmarshal(text, &back))
		require.Equal(t, d.ByID, back.ByID)
		require.Equal(t, d.Points, back.Points)
	}
	_, err = Marshal(struct {
		C chan int `json:"c"`
	}{make(chan int)})
	require.Error(t, err)
	_, err = Marshal(struct {
		C int `json:"c" java:"wrong"`
	}{})
	require.ErrorContains(t, err, "wrong")
}

// The order was taken from a java.util.HashMap; bname and ns share a place there, and
// which comes first is a matter of who came first.
func TestKeys_JavaOrder(t *testing.T) {
	m := map[string]int{"queueId": 1, "lo": 1, "oway": 1, "ns": 1, "bname": 1, "topic": 1, "boundaryType": 1, "nsd": 1, "timestamp": 1}
	require.Equal(t, []string{"queueId", "lo", "oway", "bname", "ns", "topic", "boundaryType", "nsd", "timestamp"}, Keys(m))
}

func TestCompareUTF16(t *testing.T) {
	require.Negative(t, compareUTF16("a", "b"))
	require.Negative(t, compareUTF16("a", "ab"))
	require.Negative(t, compareUTF16("\U0001F600", "\uFF5E"), "a surrogate sorts below U+FF5E")
	require.Zero(t, compareUTF16("x", "x"))
}

func BenchmarkUnmarshal(b *testing.B) {
	text := []byte(`{"byId":{1:"a",2:"b"},"flag":false,"long":1,"name":"name","num":0,"tags":["a","b"],"unknown":{"x":[1,2]}}`)
	b.ReportAllocs()
	for b.Loop() {
		var d doc
		if err := Unmarshal(text, &d); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzUnmarshal: no panic, and what was accepted reads the same after writing, in
// each form.
// An empty string is no default: {"name":""} is read as what it says, also when it
// was written by us. (fastjson leaves out null only.)
func TestMarshal_EmptyStringWithADefault(t *testing.T) {
	var d doc
	require.NoError(t, Unmarshal([]byte(`{'nAme':""}`), &d))
	require.Empty(t, d.Name)
	for _, form := range []Form{Compact, Pretty, Standard} {
		text, err := Append(nil, &d, form)
		require.NoError(t, err)
		require.Contains(t, string(text), `"name":""`)
		back := doc{}
		require.NoError(t, Unmarshal(text, &back))
		require.Empty(t, back.Name)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{num:1,'name':'a"b',long:"7","points":{{"x":1,"y":2}:3},"tags":["a"],"bytes":"AQI=",}`))
	f.Add([]byte(`{"color":"green","level":1,"tree":{"b":1},"rate":1e300} // end`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d doc
		if Unmarshal(text, &d) != nil {
			return
		}
		first, err := Marshal(&d)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []Form{Compact, Pretty, Standard} {
			text, err := Append(nil, &d, form)
			if err != nil {
				t.Fatal(err)
			}
			var back doc
			if err := Unmarshal(text, &back); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if again, _ := Marshal(&back); string(again) != string(first) && form != Standard {
				t.Fatalf("%s\n%s", first, again)
			}
		}
	})
}

// A large document may take less for its bytes than a small one: several at a time
// would be the memory of a server.
func TestUnmarshal_LargeDocumentsOfNothing(t *testing.T) {
	type element struct{ A, B string }
	var v []element
	small := "[" + strings.Repeat("{},", 50_000) + "{}]"
	require.NoError(t, Unmarshal([]byte(small), &v))
	v = nil
	large := "[" + strings.Repeat("{},", 1_500_000) + "{}]"
	require.ErrorContains(t, Unmarshal([]byte(large), &v), "for a document of")
	real := "[" + strings.Repeat(`{"A":"some text","B":"more of it, and more"},`, 100_000) + "{}]"
	require.NoError(t, Unmarshal([]byte(real), &v))
	require.Len(t, v, 100_001)
}
