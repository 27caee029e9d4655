// Command tetragon-check validates TracingPolicy files against the schema that a Tetragon release installs and that
// its agent and the Kubernetes API server apply.
//
//	go -C tests/tetragon-check run . "$PWD"/policies/*.yaml
//
// It prints one line a file and ends with 1 at the first that is refused, 2 if it cannot check at all (`go run` itself
// makes 1 of that).
//
// The agent's own entry point (pkg/tracingpolicy.FromYAML) cannot be linked: it imports the module
// github.com/cilium/tetragon/pkg/k8s, which has no releases (Tetragon's own go.mod replaces it by a folder), and the
// module proxy gave none of its commits when this was written. So the same steps are made here with the same
// Kubernetes libraries on the schema that the pinned module carries: strict YAML, unknown fields refused, defaults,
// OpenAPI schema, list types, the rules for metadata, and a second reading of the result as YAML, which must give the
// same: the agent does that too, and loses some control characters there. Selectors are not compiled.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "github.com/cilium/tetragon/pkg/defaults" // Keeps the module that carries the schema in go.mod.

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

const tetragon = "github.com/cilium/tetragon"

// crd is one custom resource definition, ready to judge documents.
type crd struct {
	namespaced bool
	structural *schema.Structural
	validator  validation.SchemaValidator
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: tetragon-check POLICY.yaml...")
		os.Exit(2)
	}
	definitions, err := loadDefinitions()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: no schema to check against:", err)
		os.Exit(2)
	}
	for _, path := range os.Args[1:] {
		kind, err := check(path, definitions)
		if err != nil {
			fmt.Printf("%s: refused: %s\n", path, strings.ReplaceAll(err.Error(), "\n", "; "))
			os.Exit(1)
		}
		fmt.Printf("%s: %s accepted\n", path, kind)
	}
}

// loadDefinitions reads the definitions from the module cache, where `go run` has put the pinned module.
func loadDefinitions() (map[string]crd, error) {
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", tetragon).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m %s: %w (run this from tests/tetragon-check)", tetragon, err)
	}
	definitions := map[string]crd{}
	for kind, file := range map[string]string{
		"TracingPolicy":           "cilium.io_tracingpolicies.yaml",
		"TracingPolicyNamespaced": "cilium.io_tracingpoliciesnamespaced.yaml",
	} {
		path := filepath.Join(strings.TrimSpace(string(folder)), "install/kubernetes/tetragon/crds-yaml", file)
		if definitions[kind], err = loadDefinition(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return definitions, nil
}

func loadDefinition(path string) (crd, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return crd{}, err
	}
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &external); err != nil {
		return crd{}, err
	}
	if len(external.Spec.Versions) != 1 || external.Spec.Versions[0].Schema == nil {
		return crd{}, errors.New("expected one version with a schema")
	}
	var props apiextensions.JSONSchemaProps
	err = apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		external.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil)
	if err != nil {
		return crd{}, err
	}
	structural, err := schema.NewStructural(&props)
	if err != nil {
		return crd{}, err
	}
	validator, _, err := validation.NewSchemaValidator(&props)
	return crd{external.Spec.Scope == apiextensionsv1.NamespaceScoped, structural, validator}, err
}

// check judges one file and returns the kind it declares.
func check(path string, definitions map[string]crd) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var object map[string]any
	if err := yaml.UnmarshalStrict(data, &object); err != nil {
		return "", err
	}
	kind, _ := object["kind"].(string)
	definition, known := definitions[kind]
	if !known {
		return "", fmt.Errorf("unknown kind %q", kind)
	}
	if version := object["apiVersion"]; version != "cilium.io/v1alpha1" {
		return "", fmt.Errorf("unknown apiVersion %q", version)
	}
	metadata, err := metadataOf(object)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}

	var refused []error
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, unknown := range pruning.PruneWithOptions(object, definition.structural, true, options) {
		refused = append(refused, fmt.Errorf("unknown field %s", unknown))
	}
	defaulting.Default(object, definition.structural)
	refused = append(refused, definition.validator.Validate(object).Errors...)
	for _, err := range listtype.ValidateListSetsAndMaps(nil, definition.structural, object) {
		refused = append(refused, err)
	}
	for _, err := range metavalidation.ValidateObjectMeta(
		metadata, definition.namespaced, metavalidation.NameIsDNSSubdomain, field.NewPath("metadata")) {
		refused = append(refused, err)
	}
	refused = append(refused, secondReading(object))
	return kind, errors.Join(refused...)
}

// secondReading does what the agent does with a document that has got its defaults: makes JSON of it, and reads that
// as YAML.
func secondReading(object map[string]any) error {
	data, err := (&unstructured.Unstructured{Object: object}).MarshalJSON()
	if err != nil {
		return err
	}
	var again map[string]any
	if err := yaml.UnmarshalStrict(data, &again); err != nil {
		return fmt.Errorf("on the second reading: %w", err)
	}
	// Compared as JSON, because the two readings choose different Go types for numbers.
	before, after := canonical(object), canonical(again)
	if before != after {
		return errors.New("on the second reading some text is different: it contains line breaks that YAML folds")
	}
	return nil
}

func canonical(object map[string]any) string {
	data, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func metadataOf(object map[string]any) (*metav1.ObjectMeta, error) {
	raw, isMap := object["metadata"].(map[string]any)
	if !isMap {
		return nil, errors.New("missing")
	}
	var metadata metav1.ObjectMeta
	return &metadata, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, &metadata, true)
}
