package arch

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol"
)

var update = flag.Bool("update", false, "write the table of request codes and files into docs/ARCHITECTURE.md")

// codesByName are the codes by the names that the table of calls gives them.
func codesByName(t *testing.T) map[string]protocol.Code {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "protocol", "zz_table.go"))
	require.NoError(t, err)
	out := map[string]protocol.Code{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+)\s+= call\[.*Row\{Code: (\d+),`).FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		out[m[1]] = protocol.Code(n)
	}
	require.Len(t, out, len(protocol.Table()))
	return out
}

// handlerFiles reads the routes of a server and gives the file of the handler of each code.
func handlerFiles(t *testing.T, files []file, pkg string, names map[string]protocol.Code) map[protocol.Code]string {
	methods := map[string]string{} // package.method: file
	packages := map[string]string{}
	for _, f := range files {
		if f.test || !under(f.pkg, pkg) {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[f.pkg+"."+fn.Name.Name] = f.path
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if ts, ok := n.(*ast.TypeSpec); ok && ts.Name.Name == "handlers" {
				for _, field := range ts.Type.(*ast.StructType).Fields.List {
					packages[field.Names[0].Name] = pkg + "/" + field.Type.(*ast.StarExpr).X.(*ast.SelectorExpr).X.(*ast.Ident).Name
				}
			}
			return true
		})
	}
	out := map[protocol.Code]string{}
	for _, f := range files {
		if f.path != pkg+"/routes.go" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "On" && !strings.HasPrefix(sel.Sel.Name, "Handle") {
				return true
			}
			where := ""
			switch h := call.Args[len(call.Args)-1].(*ast.SelectorExpr); x := h.X.(type) {
			case *ast.SelectorExpr: // h.verb.Method
				where = methods[packages[x.Sel.Name]+"."+h.Sel.Name]
			case *ast.Ident: // s.method
				where = methods[pkg+"."+h.Sel.Name]
			}
			for _, a := range call.Args {
				ast.Inspect(a, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						if id, ok := s.X.(*ast.Ident); ok && id.Name == "protocol" && s.Sel.Name != "Code" {
							require.NotEmpty(t, where, "%s: no file has the handler", f.fset.Position(n.Pos()))
							out[names[s.Sel.Name]] = where
						}
					}
					return true
				})
			}
			return true
		})
	}
	return out
}

// TestArchitecture_FilesOfCodes ties the table of docs/ARCHITECTURE.md to the routes.
func TestArchitecture_FilesOfCodes(t *testing.T) {
	files, names := sources(t), codesByName(t)
	var b strings.Builder
	b.WriteString("| file | request codes |\n| --- | --- |\n")
	total := 0
	for _, pkg := range []string{"broker", "namesrv"} {
		byFile := map[string][]protocol.Code{}
		for code, path := range handlerFiles(t, files, pkg, names) {
			byFile[path] = append(byFile[path], code)
			total++
		}
		for _, codes := range byFile {
			slices.Sort(codes)
		}
		for _, path := range slices.SortedFunc(maps.Keys(byFile), func(x, y string) int { return cmp.Compare(byFile[x][0], byFile[y][0]) }) {
			var list []string
			for _, c := range byFile[path] {
				list = append(list, fmt.Sprintf("%d %s", c, c))
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", path, strings.Join(list, ", "))
		}
	}
	require.Greater(t, total, 80, "the walk finds the routes")
	path := filepath.Join(root(t), "docs", "ARCHITECTURE.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), "<!-- files -->\n")
	require.True(t, ok)
	was, after, ok := strings.Cut(rest, "<!-- end of files -->\n")
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+"<!-- files -->\n"+b.String()+"<!-- end of files -->\n"+after), 0o600))
		return
	}
	require.Equal(t, b.String(), was, "the table does not say what the routes do: run the test with -update")
}

// TestArchitecture_FilesOfAllCodes holds the table of the test above complete.
func TestArchitecture_FilesOfAllCodes(t *testing.T) {
	files, codes := sources(t), codesByName(t)
	names, b := servers(t)
	for pkg, served := range map[string][]protocol.Code{"broker": b.Codes(), "namesrv": names.Codes()} {
		found := handlerFiles(t, files, pkg, codes)
		for _, c := range served {
			require.NotEmpty(t, found[c], "%s: code %d has no file", pkg, c)
		}
		require.Len(t, found, len(served), pkg)
	}
}
