package check

import (
	"go/ast"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/rule"
)

// directivePrefix begins comments that tell the generator something.
const directivePrefix = "//divisi:"

// directivePlaces tells what each directive stands before.
var directivePlaces = map[string]string{
	"singleton": "a struct that embeds divisi.Implements",
	"always":    "a struct that embeds divisi.Implements",
	"shared":    "a method of an interface",
}

// directives are those of a package; every one has to be used.
type directives struct {
	all  []*ast.Comment
	used map[*ast.Comment]bool
}

func (c *checker) findDirectives() *directives {
	d := &directives{used: map[*ast.Comment]bool{}}
	for _, file := range c.pkg.Syntax {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				if strings.HasPrefix(comment.Text, directivePrefix) {
					d.all = append(d.all, comment)
				}
			}
		}
		for spec := range typeSpecs(file) {
			for comment := range sharedMethods(spec) {
				d.used[comment] = true
			}
		}
	}
	return d
}

// directive returns the name in a comment that is a directive, else "".
func directive(comment *ast.Comment) string {
	name, ok := strings.CutPrefix(comment.Text, directivePrefix)
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(name, " ")
	return name
}

// ofStruct applies the directives before an implementation.
func (d *directives) ofStruct(comp *Component, doc *ast.CommentGroup) {
	if doc == nil {
		return
	}
	for _, comment := range doc.List {
		switch directive(comment) {
		case "singleton":
			comp.Info.Singleton = true
		case "always":
			comp.Info.Always = true
		default:
			continue
		}
		d.used[comment] = true
	}
}

// complain refuses the directives that nothing has used.
func (d *directives) complain(c *checker) {
	for _, comment := range d.all {
		if d.used[comment] {
			continue
		}
		name := directive(comment)
		if place, ok := directivePlaces[name]; ok {
			c.refuse(comment.Pos(), rule.DirectiveMisplaced, directivePrefix+name, place)
		} else {
			c.refuse(comment.Pos(), rule.DirectiveUnknown, directivePrefix+name)
		}
	}
}

// sharedMethods returns the comments in the declaration of a type that say shared of a method of an
// interface, each with the method's name.
func sharedMethods(spec *ast.TypeSpec) map[*ast.Comment]string {
	found := map[*ast.Comment]string{}
	ast.Inspect(spec.Type, func(n ast.Node) bool {
		iface, ok := n.(*ast.InterfaceType)
		if !ok {
			return true
		}
		for _, method := range iface.Methods.List {
			if method.Doc == nil || len(method.Names) == 0 {
				continue
			}
			for _, comment := range method.Doc.List {
				if directive(comment) == "shared" {
					found[comment] = method.Names[0].Name
				}
			}
		}
		return true
	})
	return found
}
