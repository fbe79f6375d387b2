package shape

import (
	"go/token"
	"go/types"
)

// Root is the path of the package that applications import.
const Root = "github.com/divisi-go/divisi"

// IsRoot reports whether a type is the root package's type with a name, or an alias of it.
func IsRoot(t types.Type, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && FullName(named.Obj()) == Root+"."+name
}

// FullName returns a type's import path, a dot and its name.
func FullName(obj *types.TypeName) string {
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// Bare returns a signature without the names of parameters.
func Bare(sig *types.Signature) string {
	strip := func(t *types.Tuple) *types.Tuple {
		var vars []*types.Var
		for v := range t.Variables() {
			vars = append(vars, types.NewParam(token.NoPos, nil, "", types.Unalias(v.Type())))
		}
		return types.NewTuple(vars...)
	}
	return types.NewSignatureType(nil, nil, nil, strip(sig.Params()), strip(sig.Results()),
		sig.Variadic()).String()
}
