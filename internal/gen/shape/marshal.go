package shape

import "go/types"

// HasMethods reports whether a type is encoded by methods that are generated in its package. It
// has to be the same from wherever it is asked.
func HasMethods(named *types.Named) bool {
	u, ok := named.Underlying().(*types.Struct)
	if !ok || !named.Obj().Exported() || named.TypeParams().Len() > 0 {
		return false
	}
	auto, hides := false, false
	for f := range u.Fields() {
		switch {
		case IsRoot(f.Type(), "AutoMarshal"):
			auto = auto || f.Embedded()
		case f.Name() != "_":
			hides = hides || !f.Exported() || hidden(f.Type())
		}
	}
	return auto && hides
}

// hidden reports whether a type has names in it that its package does not export.
func hidden(t types.Type) bool {
	switch t := t.(type) {
	case *types.Alias:
		if unexported(t.Obj()) {
			return hidden(t.Rhs()) // which can be written instead
		}
		return hiddenArgs(t.TypeArgs())
	case *types.Named:
		return unexported(t.Obj()) || hiddenArgs(t.TypeArgs())
	case *types.Pointer:
		return hidden(t.Elem())
	case *types.Slice:
		return hidden(t.Elem())
	case *types.Array:
		return hidden(t.Elem())
	case *types.Map:
		return hidden(t.Key()) || hidden(t.Elem())
	case *types.Struct:
		for f := range t.Fields() {
			if f.Name() != "_" && (!f.Exported() || hidden(f.Type())) {
				return true
			}
		}
	}
	return false
}

func unexported(obj *types.TypeName) bool { return obj.Pkg() != nil && !obj.Exported() }

func hiddenArgs(args *types.TypeList) bool {
	for arg := range args.Types() {
		if hidden(arg) {
			return true
		}
	}
	return false
}
