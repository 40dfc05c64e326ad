package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	maxFileLines     = 800
	maxFunctionLines = 70
)

// longFunctions are exceptions to maxFunctionLines, with the reason.
var longFunctions = map[string]string{
	"broker/routes.go newRoutes": "every request code of the broker on one screen",
}

func TestPackages_HaveADoc(t *testing.T) {
	has := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		has[f.pkg] = has[f.pkg] || f.ast.Doc != nil && len(f.ast.Doc.Text()) > 40
	}
	for pkg, ok := range has {
		if !ok {
			t.Errorf("package %s has no doc that says what it owns", pkg)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, f := range sources(t) {
		if f.generated {
			continue
		}
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines, the budget is %d", f.path, f.lines, maxFileLines)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.test {
				continue
			}
			lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			name := f.path + " " + fn.Name.Name
			if lines > maxFunctionLines && longFunctions[name] == "" {
				t.Errorf("%s has %d lines, the budget is %d", name, lines, maxFunctionLines)
			}
		}
	}
}

// seams are the folders that may touch the world; everybody else gets clock,
// randomness, disk and listener through options.
var seams = []string{"cmd", "conformance", "compat/clock", "compat/configfile", "store/vfs", "protocol/header/internal/gen"}

// TestCalls_Banned keeps time, disk and randomness behind their seams, sleeping
// out of everything but the seams, and panics out of the code that reads bytes
// of others.
func TestCalls_Banned(t *testing.T) {
	banned := map[string][]string{
		"time":         {"Now", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc", "Since", "Until"},
		"os":           {"*"},
		"math/rand":    {"*"},
		"math/rand/v2": {"*"},
		"crypto/rand":  {"*"},
		"os/exec":      {"*"},
	}
	for _, f := range sources(t) {
		if f.test || under(f.pkg, seams...) {
			continue
		}
		names := map[string]string{}
		for _, im := range f.ast.Imports {
			path := strings.Trim(im.Path.Value, `"`)
			name := path[strings.LastIndexByte(path, '/')+1:]
			if path == "math/rand/v2" {
				name = "rand"
			}
			if im.Name != nil {
				name = im.Name.Name
			}
			if banned[path] != nil {
				names[name] = path
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			id, ok := sel.X.(*ast.Ident)
			if !ok || names[id.Name] == "" || id.Obj != nil {
				return true
			}
			for _, b := range banned[names[id.Name]] {
				if (b == sel.Sel.Name || b == "*") && allowed[f.path+" "+id.Name+"."+sel.Sel.Name] == "" {
					t.Errorf("%s: %s.%s is behind a seam: take it from the options", f.fset.Position(n.Pos()), id.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// allowed are single uses of banned packages, with the reason.
var allowed = map[string]string{
	"remoting/server.go time.NewTimer":          "a shutdown is bounded by the caller's context, which lives on the machine's clock",
	"remoting/server.go time.NewTicker":         "the same",
	"broker/brokertest/brokertest.go rand.IntN": "it is the program that gives the broker its options",
}

// TestLocks_StandInTheList ties every mutex to docs/LOCKS.md.
func TestLocks_StandInTheList(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "LOCKS.md"))
	require.NoError(t, err)
	list := string(text)
	found := 0
	for _, f := range sources(t) {
		if f.test || under(f.pkg, "conformance", "cmd") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			ts, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range st.Fields.List {
				if !isMutex(field.Type) {
					continue
				}
				found++
				if len(field.Names) == 0 {
					t.Errorf("%s: an embedded mutex: give it a name above what it guards", f.fset.Position(field.Pos()))
				}
				for _, name := range field.Names {
					lock := fmt.Sprintf("`%s.%s.%s`", f.ast.Name.Name, ts.Name.Name, name.Name)
					if !strings.Contains(list, lock) {
						t.Errorf("%s: %s is not in docs/LOCKS.md", f.fset.Position(field.Pos()), lock)
					}
				}
			}
			return true
		})
	}
	require.Greater(t, found, 20, "the walk finds the locks")
}

func isMutex(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == "sync" && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex")
}
