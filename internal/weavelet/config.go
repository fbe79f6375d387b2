package weavelet

import (
	"fmt"

	"github.com/divisi-go/divisi/internal/config"
)

// configure decodes a component's section of the configuration.
func (w *Weavelet) configure(p *part) error {
	component := p.component.Info.Name
	text, ok := w.network.Section(component)
	if !ok {
		if v, ok := p.fields.Config.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("%s: without a section in the configuration: %w", component, err)
			}
		}
		return nil
	}
	if err := config.Decode(text, p.fields.Config); err != nil {
		return fmt.Errorf("%s: %w", component, err)
	}
	return nil
}
