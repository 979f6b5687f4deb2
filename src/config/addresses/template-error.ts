/** What is wrong with a template; becomes the error of the key that holds it. */
export class TemplateError extends TypeError {}
