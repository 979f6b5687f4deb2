// Prints what the Go client sends and reads: for each type of its API the names of its fields in JSON, and which of
// them hold another type. Isthmus' tests compare that with what it takes.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

var roots = []any{
	api.AgentServiceRegistration{}, api.AgentCheckRegistration{}, api.CatalogRegistration{}, api.CatalogDeregistration{},
	api.PreparedQueryDefinition{}, api.ACLToken{}, api.ACLPolicy{}, api.ACLRole{}, api.Intention{}, api.CAConfig{},
	api.CoordinateEntry{}, api.KVPair{}, api.SessionEntry{}, api.UserEvent{}, api.TxnOp{},
	api.ServiceConfigEntry{}, api.ProxyConfigEntry{}, api.ServiceResolverConfigEntry{}, api.ServiceRouterConfigEntry{},
	api.ServiceSplitterConfigEntry{}, api.ServiceIntentionsConfigEntry{}, api.MeshConfigEntry{},
	api.JWTProviderConfigEntry{},
}

// From the name of a type to its fields; a field's value is the name of the type that it holds, or empty.
var shapes = map[string]map[string]string{}

func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return shape(t.Elem())
	case reflect.Slice, reflect.Array:
		if inner := shape(t.Elem()); inner != "" {
			return "[]" + inner
		}
		return ""
	case reflect.Map:
		if inner := shape(t.Elem()); inner != "" {
			return "map " + inner
		}
		return ""
	case reflect.Struct:
		if t == reflect.TypeOf(time.Time{}) {
			return ""
		}
	default:
		return ""
	}
	if _, known := shapes[t.Name()]; !known {
		shapes[t.Name()] = map[string]string{}
		fields(t, shapes[t.Name()])
	}
	return t.Name()
}

func fields(t reflect.Type, into map[string]string) {
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct {
			fields(field.Type, into)
			continue
		}
		if name == "" {
			name = field.Name
		}
		into[name] = shape(field.Type)
	}
}

func main() {
	for _, root := range roots {
		shape(reflect.TypeOf(root))
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(shapes); err != nil {
		panic(err)
	}
}
