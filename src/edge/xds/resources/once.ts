/**
 * Makes something once for each object that it is made of, for as long as that object lives: proxies share the parts of
 * their snapshots, and so what is made of them. @param make its second argument is a text that counts as well
 */
export function oncePer<K extends object, V>(make: (key: K, text: string) => V): (key: K, text: string) => V {
  const made = new WeakMap<K, Map<string, V>>();
  return (key, text) => {
    let byText = made.get(key);
    if (byText === undefined) {
      byText = new Map();
      made.set(key, byText);
    }
    let value = byText.get(text);
    if (value === undefined) {
      value = make(key, text);
      byText.set(text, value);
    }
    return value;
  };
}
