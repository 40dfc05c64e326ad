package wire

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// facts returns the lines of one kind of what the Java classes say by reflection.
func facts(t *testing.T, kind string) [][]string {
	t.Helper()
	var out [][]string
	for _, col := range lines(t, "facts.tsv") {
		if col[0] == kind {
			out = append(out, col[1:])
		}
	}
	require.NotEmpty(t, out, kind)
	return out
}

// later are request codes that 5.3.3 does not have in RequestCode: removed before
// it (50-54), or written into the raft log only (1014-1018).
var later = []protocol.Code{50, 51, 52, 53, 54, 1014, 1015, 1016, 1017, 1018}

func TestDrift_RequestCodes(t *testing.T) {
	rows := map[protocol.Code]protocol.Row{}
	for _, r := range protocol.Table() {
		rows[r.Code] = r
	}
	for _, code := range later {
		require.Contains(t, rows, code)
		delete(rows, code)
	}
	for _, col := range facts(t, "request") {
		code, err := strconv.Atoi(col[0])
		require.NoError(t, err)
		assert.Equal(t, col[1], rows[protocol.Code(code)].Name, col[0])
		delete(rows, protocol.Code(code))
	}
	require.Empty(t, rows, "rows that Java does not have")
}

func TestDrift_ResponseCodes(t *testing.T) {
	names := protocol.ResponseNames()
	for _, col := range facts(t, "response") {
		code, err := strconv.Atoi(col[0])
		require.NoError(t, err)
		assert.Equal(t, col[1], names[protocol.ResponseCode(code)], col[0])
		delete(names, protocol.ResponseCode(code))
	}
	require.Empty(t, names, "codes that Java does not have")
}

func TestDrift_LanguagesAndVersions(t *testing.T) {
	languages := facts(t, "language")
	require.Len(t, wire.Java.Names(), len(languages))
	for i, col := range languages {
		require.Equal(t, strconv.Itoa(i), col[0])
		require.Equal(t, col[1], wire.Language(i).String())
		require.Equal(t, wire.Language(i), wire.LanguageByName(col[1]))
	}
	versions := facts(t, "version")
	require.Equal(t, len(versions), version.Count())
	for i, col := range versions {
		require.Equal(t, strconv.Itoa(i), col[0])
		require.Equal(t, col[1], version.Name(int32(i)))
	}
}

// goTypes of the Java types of header fields.
var goTypes = map[string]reflect.Type{
	"String": reflect.TypeFor[wire.OptString](), "Integer": reflect.TypeFor[wire.Opt[int32]](),
	"Long": reflect.TypeFor[wire.Opt[int64]](), "Boolean": reflect.TypeFor[wire.Opt[bool]](),
	"BoundaryType": reflect.TypeFor[wire.Opt[header.BoundaryType]](),
	"int":          reflect.TypeFor[int32](), "long": reflect.TypeFor[int64](), "boolean": reflect.TypeFor[bool](),
}

// fieldTypes maps the wire names of a struct to the types of its fields.
func fieldTypes(t reflect.Type, into map[string]reflect.Type) map[string]reflect.Type {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			fieldTypes(f.Type, into)
			continue
		}
		into[f.Tag.Get("wire")] = f.Type
	}
	return into
}

// afterwards are fields that 5.3.3 does not have yet.
var afterwards = map[string]string{"GetAllTopicConfigResponseHeader": "totalTopicNum"}

func TestDrift_HeaderFields(t *testing.T) {
	want := map[string]map[string]reflect.Type{}
	for _, col := range facts(t, "header") {
		want[col[0]] = map[string]reflect.Type{}
	}
	for _, col := range facts(t, "field") {
		require.NotNil(t, goTypes[col[2]], "%v", col)
		want[col[0]][col[1]] = goTypes[col[2]]
	}
	for class, fields := range want {
		h := header.New(class)
		require.NotNil(t, h, class)
		got := fieldTypes(reflect.TypeOf(h).Elem(), map[string]reflect.Type{})
		if f := afterwards[class]; f != "" {
			delete(got, f)
		}
		assert.Equal(t, fields, got, class)
	}
	t.Logf("%d header classes", len(want))
}

// The defaults of a new object are those of Reset.
func TestDrift_HeaderDefaults(t *testing.T) {
	for _, col := range facts(t, "field") {
		if col[6] == "now" {
			continue // the current time is left to the caller
		}
		h := header.New(col[0])
		h.Reset()
		v := reflect.ValueOf(h).Elem()
		f := findField(v, col[1])
		if f.Kind() == reflect.Struct && !f.FieldByName("Set").Bool() {
			assert.Equal(t, col[6], "null", "%v", col)
			continue
		}
		if f.Kind() == reflect.Struct {
			f = f.FieldByName("V")
		}
		assert.Equal(t, strings.Trim(col[6], "'"), text(f), "%v", col)
	}
}

// findField finds the field with a wire name, also in embedded structs.
func findField(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			if found := findField(v.Field(i), name); found.IsValid() {
				return found
			}
		} else if f.Tag.Get("wire") == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// text is Java's text of a value.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return strconv.FormatInt(v.Int(), 10)
}

// The annotations for access control are those of the table.
func TestDrift_AccessRules(t *testing.T) {
	rows := map[string]protocol.Row{}
	for _, r := range protocol.Table() {
		rows[strconv.Itoa(int(r.Code))] = r
	}
	bits := map[string]protocol.Action{"PUB": protocol.ActionPub, "SUB": protocol.ActionSub, "CREATE": protocol.ActionCreate,
		"UPDATE": protocol.ActionUpdate, "DELETE": protocol.ActionDelete, "GET": protocol.ActionGet, "LIST": protocol.ActionList}
	n := 0
	for _, col := range facts(t, "header") {
		if len(col) < 5 {
			continue
		}
		var want protocol.Action
		for _, a := range strings.Split(col[4], ",") {
			require.NotZero(t, bits[a], a)
			want |= bits[a]
		}
		assert.Equal(t, want, rows[col[2]].ACLAction, "%v", col)
		n++
	}
	require.Greater(t, n, 70)
}

// What is checked in is what Java says today: the recorder runs again and every
// file must come out the same.
func TestDrift_RecordAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT COMPARED WITH JAVA: -short")
	}
	reference.Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	project, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(project, "src"), os.DirFS("recorder/src")))
	pom, err := os.ReadFile("recorder/pom.xml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(project, "pom.xml"), pom, 0o600))
	require.NoError(t, reference.Maven(ctx, "-f", filepath.Join(project, "pom.xml"), "compile", "exec:java", "-Dexec.args="+out))
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, f := range files {
		want, err := os.ReadFile(filepath.Join("testdata", f.Name()))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(out, f.Name()))
		require.NoError(t, err)
		if string(got) != string(want) {
			t.Errorf("%s is not what Java writes now: record it again (README.md) and look at the difference", f.Name())
		}
	}
}
