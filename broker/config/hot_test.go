package config

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// atStart are the functions that run only when a broker starts: what they read is
// not followed. What stands in a function literal inside them runs later.
var atStart = map[string]bool{
	"New": true, "Start": true, "load": true, "openStore": true, "newServer": true, "newLanes": true, "listen": true,
	"haPort": true, "storeOptions": true, "newHandlers": true, "newRoutes": true,
}

// A key that is marked hot is read by something that runs after the start; what the
// store follows is in storeTunables, whose effects are tested in store.
func TestHotKeys_AreReadWhileTheBrokerRuns(t *testing.T) {
	read := map[string]bool{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "config/") {
			return err
		}
		file, err := goparser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				noteReads(f.Body, !atStart[f.Name.Name], read)
			}
		}
		return nil
	}))
	read["NamesrvAddr"] = read["NameServers"] // the method splits it
	c := reflect.TypeFor[Config]()
	for i := range c.NumField() {
		name, hot, _ := strings.Cut(c.Field(i).Tag.Get("conf"), ",")
		if hot == "hot" {
			require.True(t, read[c.Field(i).Name], "%s is marked hot, but only the start reads it", name)
		}
	}
	require.False(t, read["FlushDiskType"], "the test sees what only the start reads")
}

// noteReads notes the names that are selected in n while the broker runs.
func noteReads(n ast.Node, running bool, read map[string]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			if !running {
				noteReads(n.Body, true, read)
				return false
			}
		case *ast.SelectorExpr:
			if running {
				read[n.Sel.Name] = true
			}
		}
		return true
	})
}
