// Where the dashboard is: below another program's pages, or nowhere in particular.
export const base = document.documentElement.dataset.base ?? '';
